"""`{prefix}/sample_signals/`: the last signals of my gadgets."""

from myapp.core import (
    FeatureApi,
    Resource,
    accepts,
    check_preconditions,
    paginated,
    requires,
    responds_no_content,
    responds_with,
)

from ..sample_gadgets.models import SampleGadget
from .models import SampleSignal

signals = FeatureApi("sample_signals", "Signals of gadgets.")


@signals.route("/")
class Signals(Resource):
    @requires()
    @paginated(SampleSignal)
    def get(self, page):
        """List the signals of your gadgets."""
        return SampleSignal.page(page, **SampleGadget.readable())


@signals.route("/<int:sample_gadget_id>")
class OneSignal(Resource):
    writes = False  # to the SQL database

    @requires()
    @responds_with(SampleSignal)
    def get(self, sample_gadget_id):
        """Read the last signal of a gadget."""
        gadget = SampleGadget.get_or_404(sample_gadget_id, **SampleGadget.readable())
        return SampleSignal.get_or_404(gadget.id)

    @requires()
    @accepts(SampleSignal)
    @responds_with(SampleSignal, 200, 201)
    def put(self, sample_gadget_id, body):
        """Send a signal of a gadget."""
        gadget = SampleGadget.get_or_404(sample_gadget_id, **SampleGadget.writable())
        signal = SampleSignal.get(gadget.id)
        check_preconditions(signal)
        if signal:
            return signal.update(**body)
        new = SampleSignal.create(id=gadget.id, owner_id=gadget.owner_id, **body)
        return new, 201

    @requires()
    @responds_no_content
    def delete(self, sample_gadget_id):
        """Delete the signal of a gadget."""
        gadget = SampleGadget.get_or_404(sample_gadget_id, **SampleGadget.writable())
        signal = SampleSignal.lock_or_404(gadget.id)
        check_preconditions(signal)
        signal.delete()
