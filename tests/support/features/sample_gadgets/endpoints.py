"""`{prefix}/sample_gadgets/`: the gadgets that I own."""

from flask import g

from myapp.core import (
    FeatureApi,
    Resource,
    accepts,
    accepts_patch,
    answers,
    answers_file,
    answers_nothing,
    exports,
    idempotent,
    merged,
    must_match,
    paged,
    requires,
)

from .models import SampleGadget

gadgets = FeatureApi("sample_gadgets", "Gadgets of an account.", owned=True)


@gadgets.route("/")
class Gadgets(Resource):
    @requires()
    @paged(SampleGadget)
    def get(self, page):
        """List your gadgets."""
        return SampleGadget.page(page, **SampleGadget.readable())

    @requires()
    @idempotent
    @accepts(SampleGadget)
    @answers(SampleGadget, 201)
    def post(self, body):
        """Create a gadget."""
        return SampleGadget.create(owner_id=g.caller.id, **body)


@gadgets.route("/export")
class Export(Resource):
    @requires()
    @exports(SampleGadget)
    def get(self, page):
        """Download your gadgets."""
        return SampleGadget.stream(page, **SampleGadget.readable())


@gadgets.route("/<int:id>")
class OneGadget(Resource):
    @requires()
    @answers(SampleGadget)
    def get(self, id):
        """Read a gadget."""
        return SampleGadget.get_or_404(id, **SampleGadget.readable())

    @requires()
    @accepts(SampleGadget)
    @answers(SampleGadget)
    def put(self, id, body):
        """Replace a gadget."""
        gadget = SampleGadget.lock_or_404(id, **SampleGadget.writable())
        must_match(gadget)
        return gadget.update(**body)

    @requires()
    @accepts_patch(SampleGadget)
    @answers(SampleGadget)
    def patch(self, id, patch):
        """Change some properties of a gadget."""
        gadget = SampleGadget.lock_or_404(id, **SampleGadget.writable())
        must_match(gadget)
        return gadget.update(**merged(gadget, patch))

    @requires()
    @answers_nothing
    def delete(self, id):
        """Delete a gadget."""
        gadget = SampleGadget.lock_or_404(id, **SampleGadget.writable())
        must_match(gadget)
        gadget.delete()


@gadgets.route("/<int:id>/report")
class Report(Resource):
    @requires()
    @answers_file("text/plain")
    def get(self, id):
        """Download a gadget as text."""
        gadget = SampleGadget.get_or_404(id, **SampleGadget.readable())
        return gadget.name, ".txt", SampleGadget.report(gadget)
