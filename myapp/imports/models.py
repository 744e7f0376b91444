"""Imports: a file of devices, its progress and its errors.

The progress is committed together with the devices, so another worker can continue exactly
where one has stopped, for whatever reason.
"""

from collections import Counter
from datetime import timedelta
from pathlib import Path

from flask import current_app
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, String, Text

from ..core import (
    BIGINT_ID,
    MAX_INT64,
    TIMESTAMP,
    Conflict,
    Owned,
    SqlModel,
    boolean,
    example_file,
    in_batches,
    insert_all,
    integer,
    now,
    optional,
    request_schema,
    row_reader,
    sql,
    text,
)
from ..devices.models import Device

FORMS = {"text/csv": "csv", "application/x-ndjson": "ndjson"}
SAMPLES = {form: example_file(form, Device) for form in FORMS.values()}
QUEUED, RUNNING, DONE, FAILED = "queued", "running", "done", "failed"
UNFINISHED = QUEUED, RUNNING
MAX_SHOWN_FAULTS = 100  # in the representation of an import
LEASE = timedelta(seconds=10)  # of a worker; renewed with each batch
REQUEUE_AFTER = timedelta(seconds=30)  # until another worker is called
BATCH_ROWS = 500  # of a download, in memory
MAX_POINTER_CHARACTERS = 255  # longer ones are cut off
RETENTION = timedelta(days=30)  # after the end of an import
MAX_TRIES = 5  # without progress
MAX_WAITING = 100  # unfinished imports of an account
ROW = integer(1, MAX_INT64, "The number of the row, without the header.", 2)


def count(description, example):
    """Return the schema of a number of rows or devices."""
    return integer(0, MAX_INT64, description, example)


class TooManyImports(Conflict):
    """You have too many unfinished imports."""

    problem = "too-many-imports"


class Import(Owned, SqlModel):
    """A file whose devices are registered in the background."""

    __tablename__ = "imports"
    permission_prefix = "devices"

    write_schema = request_schema(
        "ImportWrite",
        name=optional(text(1, 255, "The name of the file.", "devices.csv")),
        media_type={
            "type": "string",
            "enum": list(FORMS),
            "maxLength": 32,
            "description": "The media type of the file.",
            "examples": ["text/csv"],
        },
        dry_run=boolean("Check every row, but register no device.", default=False),
        status={
            "type": "string",
            "enum": [QUEUED, RUNNING, DONE, FAILED],
            "maxLength": 8,
            "description": "The state; `failed`: stopped before the end of the file.",
            "examples": [DONE],
        },
        processed=count("The number of rows processed so far.", 3),
        total=optional(
            count("The number of rows in the file; null until they are counted.", 3)
        ),
        created=count("The number of devices registered.", 2),
        rejected=count("The number of invalid rows.", 1),
        errors={
            "type": "array",
            "maxItems": MAX_SHOWN_FAULTS,
            "examples": [[]],
            "description": f"The first {MAX_SHOWN_FAULTS} errors; `…/errors` has all.",
            "items": {
                "title": "ImportFault",
                "type": "object",
                "properties": {
                    "row": ROW,
                    "pointer": {
                        "type": "string",
                        "description": "The column, as a JSON pointer (RFC 6901).",
                        "examples": ["/name"],
                    },
                    "detail": {
                        "type": "string",
                        "description": "The reason.",
                        "examples": ["This property is required."],
                    },
                },
                "required": ["row", "pointer", "detail"],
                "additionalProperties": False,
            },
        },
    )
    search_fields = ("name",)
    unfilterable = ("total",)  # the query parameter `total` selects how a page counts
    sortable = ("id", "created_at", "updated_at")

    file = Column(String(32), index=True)
    position = Column(
        BigInteger, nullable=False, default=0
    )  # in bytes, of the next row
    worker = Column(String(36))  # the id of the task that holds the lease
    # The end of the lease, of the wait for a worker or, after the end, of the retention.
    due_at = Column(TIMESTAMP, nullable=False, default=now, index=True)
    tries = Column(Integer, nullable=False, default=0)

    @classmethod
    def create(cls, upload, owner_id, dry_run):
        """Create an import of an upload, whose file it keeps.

        Raises 409 if too many imports wait, and 400 or 422 if the header is invalid.
        """
        with open(upload.path, "rb") as file:
            row_reader(file, FORMS[upload.media_type], Device)
        waiting = sql.select(sql.func.count()).where(
            cls.owner_id == owner_id, cls.status.in_(UNFINISHED)
        )
        if sql.session.scalar(waiting) >= MAX_WAITING:
            raise TooManyImports
        return super().create(
            owner_id=owner_id,
            file=upload.keep(),
            name=upload.name and upload.name.replace("\0", "")[:255] or None,
            media_type=upload.media_type,
            dry_run=dry_run,
            status=QUEUED,
            processed=0,
            total=None,
            created=0,
            rejected=0,
            errors=[],
            due_at=now() + REQUEUE_AFTER,
        )

    def rows(self, file):
        """Return the reader of the remaining rows of the file."""
        return row_reader(file, FORMS[self.media_type], Device, self.position)

    @property
    def path(self):
        """Return the path of the file, which exists until the end of the import."""
        return Path(current_app.config["IMPORTS_FOLDER"]) / self.file

    @classmethod
    def lock(cls, id):
        """Lock and return the import with this id, or None."""
        statement = sql.select(cls).where(cls.id == id).with_for_update(of=cls)
        fresh = {"populate_existing": True}
        return sql.session.scalar(statement, execution_options=fresh)

    def can_claim(self, worker):
        """Return whether a worker may process the import.

        It must be unfinished, leased to no other worker, and the oldest unfinished import
        of its account.
        """
        taken = self.worker not in (None, worker) and self.due_at >= now()
        if taken or self.status not in UNFINISHED:
            return False
        cls = type(self)
        older = cls.owner_id == self.owner_id, cls.id < self.id
        first = sql.select(cls.id).where(*older, cls.status.in_(UNFINISHED)).limit(1)
        return sql.session.scalar(first) is None

    def claim(self, worker):
        """Lease the import to a worker. After too many tries, the import fails."""
        self.tries += 1
        self.update(status=RUNNING, worker=worker, due_at=now() + LEASE)
        if self.tries > MAX_TRIES:
            self.end(FAILED, f"The import made no progress in {MAX_TRIES} tries.")

    def release(self):
        """End the lease, so that another worker can continue."""
        self.update(worker=None, due_at=now() + REQUEUE_AFTER)

    def end(self, status, why=None):
        """End the import; `why`: the reason of a failure, a sentence."""
        errors = self.errors
        if why:
            fault = {"row": self.processed + 1, "pointer": "", "detail": why}
            errors = [*errors[: MAX_SHOWN_FAULTS - 1], fault]
        self.update(status=status, errors=errors, worker=None, due_at=now() + RETENTION)

    def register(self, bodies, faults, rejected, position):
        """Register the valid rows of a batch, and store the progress and the errors.

        `position`: the offset of the next row in the file, in bytes.
        """
        if not self.dry_run:
            Device.create_many(bodies, owner_id=self.owner_id)
            self.created += len(bodies)
        Fault.add(self.id, faults)
        self.update(
            processed=self.processed + len(bodies) + rejected,
            rejected=self.rejected + rejected,
            errors=[*self.errors, *faults][:MAX_SHOWN_FAULTS],
            position=position,
            due_at=now() + LEASE,
            tries=0,
        )

    def delete(self):
        self.drop_file()
        super().delete()
        # The task of the next import may have run while this one was in its way.
        cls = type(self)
        mine = cls.owner_id == self.owner_id, cls.status.in_(UNFINISHED)
        waiting = sql.update(cls).where(*mine, cls.worker.is_(None))
        sql.session.execute(waiting.values(due_at=now()))

    def drop_file(self):
        """Delete the file."""
        if self.file:
            self.path.unlink(missing_ok=True)


class Fault(sql.Model):
    """An error in a row of an import."""

    __tablename__ = "import_faults"
    __table_args__ = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_nopad_bin"}
    COLUMNS = ("row", "pointer", "detail")

    import_id = Column(
        BIGINT_ID, ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True
    )
    row = Column(BigInteger, primary_key=True, autoincrement=False)
    number = Column(Integer, primary_key=True, autoincrement=False)  # within the row
    pointer = Column(String(MAX_POINTER_CHARACTERS), nullable=False)
    detail = Column(Text, nullable=False)

    @classmethod
    def add(cls, import_id, faults):
        """Store errors; each is a dict of row, pointer and detail."""
        numbers, rows = Counter(), []
        for fault in faults:
            numbers[fault["row"]] += 1
            rows.append((*fault.values(), numbers[fault["row"]]))
        names = (*cls.COLUMNS, "number")
        insert_all(cls.__table__, names, rows, {"import_id": import_id})

    @classmethod
    def stream(cls, import_id):
        """Yield all errors of an import, in batches of rows."""
        statement = sql.select(cls.row, cls.pointer, cls.detail)
        statement = statement.where(cls.import_id == import_id)
        return in_batches(statement.order_by(cls.row, cls.number), BATCH_ROWS)
