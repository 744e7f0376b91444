"""`{prefix}/imports/`: devices registered from a file, in the background."""

from flask import g

from ..core import (
    FeatureApi,
    Resource,
    answers,
    answers_csv,
    answers_nothing,
    flag,
    idempotent,
    must_match,
    paged,
    queried,
    receives,
    requires,
    send,
)
from .models import FORMS, SAMPLES, Fault, Import
from .tasks import advance

imports = FeatureApi("imports", "Devices registered from a file, in the background.")


@imports.route("/")
class Imports(Resource):
    @requires()
    @paged(Import)
    def get(self, page):
        """List your imports."""
        return Import.page(page, **Import.readable())

    @requires()
    @queried(dry_run=flag("Check every row, and register none.", default=False))
    @receives(FORMS, SAMPLES, folder="IMPORTS_FOLDER", limit="MAX_IMPORT_BYTES")
    @idempotent
    @answers(Import, 202)
    def post(self, upload, dry_run):
        """Register devices from a file.

        CSV with a header, or a JSON object on each line; what only an export holds, as
        `id`, is left out. Ask at the `Location` how far it is.
        """
        made = Import.create(upload, g.caller.id, dry_run)
        send(advance, made.id)
        return made


@imports.route("/<int:id>")
class OneImport(Resource):
    @requires()
    @answers(Import)
    def get(self, id):
        """Read how far an import is."""
        return Import.get_or_404(id, **Import.readable())

    @requires()
    @answers_nothing
    def delete(self, id):
        """Cancel an import, and forget it.

        What it has registered stays.
        """
        found = Import.lock_or_404(id, **Import.writable())
        must_match(found)
        found.delete()


@imports.route("/<int:id>/errors")
class Errors(Resource):
    @requires()
    @answers_csv("errors", Fault.COLUMNS)
    def get(self, id):
        """Download all faults of an import."""
        return Fault.stream(Import.get_or_404(id, **Import.readable()).id)
