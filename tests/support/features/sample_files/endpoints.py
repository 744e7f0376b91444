"""`{prefix}/sample_files/`: the files that I uploaded."""

from flask import g

from myapp.core import (
    FeatureApi,
    Resource,
    accepts_upload,
    check_preconditions,
    enqueue,
    idempotent,
    paginated,
    requires,
    responds_no_content,
    responds_with,
)

from .models import EXAMPLES, FORMS, SampleFile
from .tasks import count_lines

SETTINGS = {"folder": "SAMPLE_FILES_FOLDER", "limit": "SAMPLE_FILES_BYTES"}

files = FeatureApi("sample_files", "Files of an account.", owned=True)


@files.route("/")
class Files(Resource):
    @requires()
    @paginated(SampleFile)
    def get(self, page):
        """List your files."""
        return SampleFile.page(page, **SampleFile.readable())

    @requires()
    @accepts_upload(FORMS, EXAMPLES, **SETTINGS, title="SampleFileForm")
    @idempotent
    @responds_with(SampleFile, 202)
    def post(self, upload):
        """Upload a file."""
        file = SampleFile.create(
            owner_id=g.caller.id,
            name=upload.name,
            media_type=upload.media_type,
            status="queued",
            lines=0,
            file=upload.keep(),
        )
        enqueue(count_lines, file.id)
        return file


@files.route("/<int:id>")
class OneFile(Resource):
    @requires()
    @responds_with(SampleFile)
    def get(self, id):
        """Read what is known of a file."""
        return SampleFile.get_or_404(id, **SampleFile.readable())

    @requires()
    @responds_no_content
    def delete(self, id):
        """Delete a file."""
        file = SampleFile.lock_or_404(id, **SampleFile.writable())
        check_preconditions(file)
        file.path.unlink(missing_ok=True)
        file.delete()
