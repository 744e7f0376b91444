"""`{prefix}/sample_signals/`: the last signals of my gadgets."""

from myapp.core import (
    FeatureApi,
    Resource,
    accepts,
    answers,
    answers_nothing,
    must_match,
    paged,
    requires,
)

from ..sample_gadgets.models import SampleGadget
from .models import SampleSignal

signals = FeatureApi("sample_signals", "Signals of gadgets.")


@signals.route("/")
class Signals(Resource):
    @requires()
    @paged(SampleSignal)
    def get(self, page):
        """List the signals of your gadgets."""
        return SampleSignal.page(page, **SampleGadget.readable())


@signals.route("/<int:sample_gadget_id>")
class OneSignal(Resource):
    writes = False  # to the SQL database

    @requires()
    @answers(SampleSignal)
    def get(self, sample_gadget_id):
        """Read the last signal of a gadget."""
        gadget = SampleGadget.get_or_404(sample_gadget_id, **SampleGadget.readable())
        return SampleSignal.get_or_404(gadget.id)

    @requires()
    @accepts(SampleSignal)
    @answers(SampleSignal, 200, 201)
    def put(self, sample_gadget_id, body):
        """Send a signal of a gadget."""
        gadget = SampleGadget.get_or_404(sample_gadget_id, **SampleGadget.writable())
        signal = SampleSignal.get(gadget.id)
        must_match(signal)
        if signal:
            return signal.update(**body)
        new = SampleSignal.create(id=gadget.id, owner_id=gadget.owner_id, **body)
        return new, 201

    @requires()
    @answers_nothing
    def delete(self, sample_gadget_id):
        """Delete the signal of a gadget."""
        gadget = SampleGadget.get_or_404(sample_gadget_id, **SampleGadget.writable())
        signal = SampleSignal.lock_or_404(gadget.id)
        must_match(signal)
        signal.delete()
