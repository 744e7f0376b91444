"""`{prefix}/imports/`: devices registered from a file, in the background."""

from flask import g

from ..core import (
    FeatureApi,
    Resource,
    accepts_upload,
    boolean,
    check_preconditions,
    enqueue,
    idempotent,
    paginated,
    query_params,
    requires,
    responds_csv,
    responds_no_content,
    responds_with,
)
from .models import FORMS, SAMPLES, Fault, Import
from .tasks import advance

imports = FeatureApi("imports", "Devices registered from a file, in the background.")


@imports.route("/")
class Imports(Resource):
    @requires()
    @paginated(Import)
    def get(self, page):
        """List your imports."""
        return Import.page(page, **Import.readable())

    @requires()
    @query_params(dry_run=boolean("Check every row, and register none.", default=False))
    @accepts_upload(FORMS, SAMPLES, folder="IMPORTS_FOLDER", limit="MAX_IMPORT_BYTES")
    @idempotent
    @responds_with(Import, 202)
    def post(self, upload, dry_run):
        """Register devices from a file.

        CSV with a header, or a JSON object on each line; what only an export holds, as
        `id`, is left out. Ask at the `Location` how far it is.
        """
        record = Import.create(upload, g.caller.id, dry_run)
        enqueue(advance, record.id)
        return record


@imports.route("/<int:id>")
class OneImport(Resource):
    @requires()
    @responds_with(Import)
    def get(self, id):
        """Read how far an import is."""
        return Import.get_or_404(id, **Import.readable())

    @requires()
    @responds_no_content
    def delete(self, id):
        """Cancel an import, and forget it.

        What it has registered stays.
        """
        record = Import.lock_or_404(id, **Import.writable())
        check_preconditions(record)
        record.delete()


@imports.route("/<int:id>/errors")
class Errors(Resource):
    @requires()
    @responds_csv("errors", Fault.COLUMNS)
    def get(self, id):
        """Download all faults of an import."""
        return Fault.stream(Import.get_or_404(id, **Import.readable()).id)
