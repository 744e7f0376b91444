"""`{prefix}/sample_gadgets/`: the gadgets that I own."""

from flask import g

from myapp.core import (
    FeatureApi,
    Resource,
    accepts,
    accepts_patch,
    apply_merge_patch,
    check_preconditions,
    exports,
    idempotent,
    paginated,
    requires,
    responds_file,
    responds_no_content,
    responds_with,
)

from .models import SampleGadget

gadgets = FeatureApi("sample_gadgets", "Gadgets of an account.", owned=True)


@gadgets.route("/")
class Gadgets(Resource):
    @requires()
    @paginated(SampleGadget)
    def get(self, page):
        """List your gadgets."""
        return SampleGadget.page(page, **SampleGadget.readable())

    @requires()
    @idempotent
    @accepts(SampleGadget)
    @responds_with(SampleGadget, 201)
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
    @responds_with(SampleGadget)
    def get(self, id):
        """Read a gadget."""
        return SampleGadget.get_or_404(id, **SampleGadget.readable())

    @requires()
    @accepts(SampleGadget)
    @responds_with(SampleGadget)
    def put(self, id, body):
        """Replace a gadget."""
        gadget = SampleGadget.lock_or_404(id, **SampleGadget.writable())
        check_preconditions(gadget)
        return gadget.update(**body)

    @requires()
    @accepts_patch(SampleGadget)
    @responds_with(SampleGadget)
    def patch(self, id, patch):
        """Change some properties of a gadget."""
        gadget = SampleGadget.lock_or_404(id, **SampleGadget.writable())
        check_preconditions(gadget)
        return gadget.update(**apply_merge_patch(gadget, patch))

    @requires()
    @responds_no_content
    def delete(self, id):
        """Delete a gadget."""
        gadget = SampleGadget.lock_or_404(id, **SampleGadget.writable())
        check_preconditions(gadget)
        gadget.delete()


@gadgets.route("/<int:id>/report")
class Report(Resource):
    @requires()
    @responds_file("text/plain")
    def get(self, id):
        """Download a gadget as text."""
        gadget = SampleGadget.get_or_404(id, **SampleGadget.readable())
        return gadget.name, ".txt", SampleGadget.report(gadget)
