"""An import: a file of devices, how far it is, and what was wrong in it.

What a worker needs to go on stands here, and is committed together with the devices: so
whoever comes next goes on just where the last one stopped, however that one ended.
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
MAX_SHOWN_FAULTS = 100  # faults that an import shows itself
LEASE = timedelta(seconds=10)  # a worker that is silent for as long has lost it
REQUEUE_AFTER = timedelta(seconds=30)  # for a worker to come; then another is called
BATCH_ROWS = 500  # of a download that are in memory
MAX_POINTER_CHARACTERS = 255  # characters of a pointer that are kept
RETENTION = timedelta(days=30)  # after its end, for the account to look at
MAX_TRIES = 5  # without one row of progress
MAX_WAITING = 100  # imports of an account
ROW = integer(1, MAX_INT64, "Which row, the header not counted.", 2)


def count(description, example):
    return integer(0, MAX_INT64, description, example)


class Import(Owned, SqlModel):
    """A file of devices that is being registered."""

    __tablename__ = "imports"
    permission_prefix = "devices"

    write_schema = request_schema(
        "ImportWrite",
        name=optional(text(1, 255, "What the file is called.", "devices.csv")),
        media_type={
            "type": "string",
            "enum": list(FORMS),
            "maxLength": 32,
            "description": "What the file holds.",
            "examples": ["text/csv"],
        },
        dry_run=boolean("Whether nothing is to be registered.", default=False),
        status={
            "type": "string",
            "enum": [QUEUED, RUNNING, DONE, FAILED],
            "maxLength": 8,
            "description": "How it is: `failed` is one that could not go on.",
            "examples": [DONE],
        },
        processed=count("Rows that are done with.", 3),
        total=optional(count("Rows in the file; null until they are counted.", 3)),
        created=count("Devices registered.", 2),
        rejected=count("Rows that do not fit.", 1),
        errors={
            "type": "array",
            "maxItems": MAX_SHOWN_FAULTS,
            "examples": [[]],
            "description": f"The first {MAX_SHOWN_FAULTS} faults; all are at `…/errors`.",
            "items": {
                "title": "ImportFault",
                "type": "object",
                "properties": {
                    "row": ROW,
                    "pointer": {
                        "type": "string",
                        "description": "Where in the row (RFC 6901).",
                        "examples": ["/name"],
                    },
                    "detail": {
                        "type": "string",
                        "description": "What is wrong there.",
                        "examples": ["is required"],
                    },
                },
                "required": ["row", "pointer", "detail"],
                "additionalProperties": False,
            },
        },
    )
    search_fields = ("name",)
    unfilterable = ("total",)  # that asks how to count a page
    sortable = ("id", "created_at", "updated_at")

    file = Column(String(32), index=True)
    position = Column(BigInteger, nullable=False, default=0)  # bytes done with
    worker = Column(String(36))  # the task that is at it
    # When to look at it again: its worker may have died, or it is to be forgotten.
    due_at = Column(TIMESTAMP, nullable=False, default=now, index=True)
    tries = Column(Integer, nullable=False, default=0)

    @classmethod
    def create(cls, upload, owner_id, dry_run):
        """A new import of an upload, which it keeps.

        Raises 409 where too many wait, and 400 or 422 where the header does not fit.
        """
        with open(upload.path, "rb") as file:
            row_reader(file, FORMS[upload.media_type], Device)
        waiting = sql.select(sql.func.count()).where(
            cls.owner_id == owner_id, cls.status.in_(UNFINISHED)
        )
        if sql.session.scalar(waiting) >= MAX_WAITING:
            raise Conflict("Too many imports of yours are waiting already.")
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
        """What is left of the rows in its file."""
        return row_reader(file, FORMS[self.media_type], Device, self.position)

    @property
    def path(self):
        """Where its file is, until it has ended."""
        return Path(current_app.config["IMPORTS_FOLDER"]) / self.file

    @classmethod
    def lock(cls, id):
        """The import as it is now, or None; nobody changes it in between."""
        statement = sql.select(cls).where(cls.id == id).with_for_update(of=cls)
        fresh = {"populate_existing": True}
        return sql.session.scalar(statement, execution_options=fresh)

    def can_claim(self, worker):
        """Whether that worker may be at it: it has not ended, nobody else is at it, and no
        older one of the same account is there."""
        taken = self.worker not in (None, worker) and self.due_at >= now()
        if taken or self.status not in UNFINISHED:
            return False
        cls = type(self)
        older = cls.owner_id == self.owner_id, cls.id < self.id
        first = sql.select(cls.id).where(*older, cls.status.in_(UNFINISHED)).limit(1)
        return sql.session.scalar(first) is None

    def claim(self, worker):
        """Let that worker be at it."""
        self.tries += 1
        self.update(status=RUNNING, worker=worker, due_at=now() + LEASE)
        if self.tries > MAX_TRIES:
            self.end(FAILED, "It was tried again and again, and never got further.")

    def release(self):
        """Leave it to whoever is called next."""
        self.update(worker=None, due_at=now() + REQUEUE_AFTER)

    def end(self, status, why=None):
        """It is over; `why`: what kept it from going on."""
        errors = self.errors
        if why:
            fault = {"row": self.processed + 1, "pointer": "", "detail": why}
            errors = [*errors[: MAX_SHOWN_FAULTS - 1], fault]
        self.update(status=status, errors=errors, worker=None, due_at=now() + RETENTION)

    def register(self, bodies, faults, rejected, position):
        """Be done with a batch of rows, which ends at that position."""
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
        # The next one's call may have come and gone while it waited for this one.
        cls = type(self)
        mine = cls.owner_id == self.owner_id, cls.status.in_(UNFINISHED)
        waiting = sql.update(cls).where(*mine, cls.worker.is_(None))
        sql.session.execute(waiting.values(due_at=now()))

    def drop_file(self):
        """Be rid of the file, which nobody reads any more."""
        if self.file:
            self.path.unlink(missing_ok=True)


class Fault(sql.Model):
    """Something that is wrong in a row of an import."""

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
        """Keep faults, each as an import shows it."""
        numbers, rows = Counter(), []
        for fault in faults:
            numbers[fault["row"]] += 1
            rows.append((*fault.values(), numbers[fault["row"]]))
        names = (*cls.COLUMNS, "number")
        insert_all(cls.__table__, names, rows, {"import_id": import_id})

    @classmethod
    def stream(cls, import_id):
        """All faults of an import, in batches of rows."""
        statement = sql.select(cls.row, cls.pointer, cls.detail)
        statement = statement.where(cls.import_id == import_id)
        return in_batches(statement.order_by(cls.row, cls.number), BATCH_ROWS)
