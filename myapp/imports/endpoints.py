"""`{prefix}/imports/`: register devices from a file, in the background."""

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

imports = FeatureApi("imports", "Register devices from a file, in the background.")


@imports.route("/")
class Imports(Resource):
    @requires()
    @paginated(Import)
    def get(self, page):
        """List your imports."""
        return Import.page(page, **Import.readable())

    @requires()
    @query_params(
        dry_run=boolean("Check every row, but register no device.", default=False)
    )
    @accepts_upload(FORMS, SAMPLES, folder="IMPORTS_FOLDER", limit="MAX_IMPORT_BYTES")
    @idempotent
    @responds_with(Import, 202)
    def post(self, upload, dry_run):
        """Register devices from a file.

        CSV with a header, or a JSON object on each line. Columns that only an export has,
        such as `id`, are ignored. `Location` is the address of the import and its progress.
        """
        record = Import.create(upload, g.caller.id, dry_run)
        enqueue(advance, record.id)
        return record


@imports.route("/<int:id>")
class OneImport(Resource):
    @requires()
    @responds_with(Import)
    def get(self, id):
        """Read an import and its progress."""
        return Import.get_or_404(id, **Import.readable())

    @requires()
    @responds_no_content
    def delete(self, id):
        """Cancel and delete an import.

        Devices that it has registered are kept.
        """
        record = Import.lock_or_404(id, **Import.writable())
        check_preconditions(record)
        record.delete()


@imports.route("/<int:id>/errors")
class Errors(Resource):
    @requires()
    @responds_csv("errors", Fault.COLUMNS)
    def get(self, id):
        """Download all errors of an import."""
        return Fault.stream(Import.get_or_404(id, **Import.readable()).id)
