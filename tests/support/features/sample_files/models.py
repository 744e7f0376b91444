"""A file: its content is on disk, and a worker counts the lines of it."""

from pathlib import Path

from flask import current_app
from sqlalchemy import Column, String

from myapp.core import (
    MAX_INT64,
    Owned,
    SqlModel,
    enum,
    integer,
    optional,
    request_schema,
    text,
)

FORMS = {"text/csv": "csv", "application/x-ndjson": "ndjson"}
EXAMPLES = {"csv": "name\nReading lamp\n", "ndjson": '{"name": "Reading lamp"}\n'}


class SampleFile(Owned, SqlModel):
    """A file that an account has uploaded."""

    __tablename__ = "sample_files"

    write_schema = request_schema(
        "SampleFileWrite",
        name=optional(text(1, 255, "The name of the file.", "lamps.csv")),
        media_type=enum("The form of the file.", *FORMS),
        status=enum("Whether the lines have been counted.", "queued", "done"),
        lines=integer(0, MAX_INT64, "The number of lines.", 2),
    )
    sortable = ("id", "created_at", "updated_at")

    file = Column(String(32))  # the name in the folder; None: there is none

    @property
    def path(self):
        return Path(current_app.config["SAMPLE_FILES_FOLDER"]) / self.file
