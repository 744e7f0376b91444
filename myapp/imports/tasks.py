"""The tasks that process imports, and delete old ones."""

import time
from contextlib import suppress
from pathlib import Path

from flask import current_app, g

from ..core import (
    Problem,
    ServiceError,
    authenticator,
    delete_in_batches,
    enqueue,
    fault,
    now,
    periodic_task,
    sql,
    task,
    unit_of_work,
)
from ..devices.models import Device
from .models import DONE, FAILED, MAX_POINTER_CHARACTERS, RUNNING, UNFINISHED, Import

TIME_SLICE_SECONDS = 15  # then another task may run
TRANSACTION_ROWS = 2000  # a concurrent writer waits for one transaction at most
MAX_FAULTS_PER_ROW = 20
MAX_REJECTED_ROWS = 1_000_000  # a file with more is probably not meant for us
# The age at which a file without an import is deleted.
ABANDONED_SECONDS = 3600


@task
def advance(id):
    """Process an import for TIME_SLICE_SECONDS; the next task continues."""
    if (
        not exists(id) and advance.request.retries < 3
    ):  # the request has not committed yet
        raise advance.retry(countdown=0.5)
    until = time.monotonic() + TIME_SLICE_SECONDS
    record = None
    for record in steps(id, g.task_id):
        if record and record.status == RUNNING and time.monotonic() > until:
            if change_if_held(record, Import.release):
                enqueue(advance, id)
            break
    if record is None:
        return f"nothing to do for import {id}"
    return f"import {id} {record.status}, {record.processed} of {record.total} rows"


@periodic_task(seconds=5)
def call_workers():
    """Enqueue each import that no worker holds: its worker may have died."""
    with unit_of_work():
        due = Import.due_at < now()
        waiting = sql.select(Import).where(Import.status.in_(UNFINISHED), due)
        ids = []
        for record in sql.session.scalars(waiting):
            if record.can_claim(None):
                record.release()
                ids.append(record.id)
    for id in ids:
        enqueue(advance, id)


@periodic_task(minutes=10)
def tidy():
    """Delete old imports, and files without an import."""
    ended = Import.status.not_in(UNFINISHED), Import.due_at < now()
    count = delete_in_batches(Import.__table__, *ended)
    abandoned = {}
    for file in Path(current_app.config["IMPORTS_FOLDER"]).glob("*"):
        with suppress(FileNotFoundError):  # another process has deleted it
            if file.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                abandoned[file.name] = file
    if abandoned:
        waiting = Import.file.in_(abandoned), Import.status.in_(UNFINISHED)
        with unit_of_work(writes=False):
            wanted = set(sql.session.scalars(sql.select(Import.file).where(*waiting)))
        for name in abandoned.keys() - wanted:
            abandoned[name].unlink(missing_ok=True)
    return count and f"{count} imports"


def exists(id):
    """Return whether the import is there; wait if it is locked."""
    with unit_of_work():
        return Import.lock(id) is not None


def steps(id, worker):
    """Process an import as `worker`, a batch at a time.

    Yield the import after each batch, or None if the worker has lost the lease.
    """
    with unit_of_work():
        record = Import.lock(id)
        if record is None or not record.can_claim(worker):
            return
    record = change_if_held(record, lambda it: it.claim(worker))
    if record is None or record.status != RUNNING:
        yield record
        return
    try:
        with open(record.path, "rb") as file:
            if record.total is None:
                total = record.rows(file).count()
                record = change_if_held(record, lambda it: it.update(total=total))
            rows = record and record.rows(file)
            while record and record.status == RUNNING:
                record = change_if_held(record, next_step(record, rows))
                yield record
    except FileNotFoundError:
        yield change_if_held(
            record, lambda it: it.end(FAILED, "The file of the import is missing.")
        )
    except ServiceError as error:
        why = error.detail
        yield change_if_held(record, lambda it: it.end(FAILED, why))


def next_step(record, rows):
    """Read the next batch, and return the function that applies it to the import."""
    batch = rows.read_batch(TRANSACTION_ROWS)
    bodies, faults = [], []
    for number, row in enumerate(batch, record.processed + 1):
        try:
            if isinstance(row, ServiceError):
                raise row
            body = Device.body.validate(row)
            Device.check_rules(body)
            bodies.append(body)
        except ServiceError as error:
            errors = error.errors or [fault("", error.detail)]
            faults += (
                {
                    "row": number,
                    "pointer": e["pointer"][:MAX_POINTER_CHARACTERS],
                    "detail": e["detail"],
                }
                for e in errors[:MAX_FAULTS_PER_ROW]
            )
    if not batch:
        return lambda it: it.end(DONE)
    if not is_owner_active(record):
        return lambda it: it.end(FAILED, "The account is blocked or deleted.")
    if record.rejected > MAX_REJECTED_ROWS:
        return lambda it: it.end(
            FAILED, f"More than {MAX_REJECTED_ROWS:,} rows are invalid."
        )
    rejected = len(batch) - len(bodies)
    return lambda it: it.register(bodies, faults, rejected, rows.position)


def is_owner_active(record):
    """Return whether the owner of an import is active; may be a second old."""
    owner = sql.select(Import.owner).where(Import.id == record.id)
    with unit_of_work(writes=False):  # usernames change, so read the current one
        name = sql.session.scalar(owner)
    account = authenticator().account(username=name or "")
    return account is not None and account.id == record.owner_id


def change_if_held(record, change):
    """Apply `change` to the import and return it, or None if the lease is lost."""
    state = record.worker, record.position
    with unit_of_work():
        record = Import.lock(record.id)
        if record is None or (record.worker, record.position) != state:
            return None
        change(record)
    if record.status != RUNNING:
        record.drop_file()
        enqueue_next(record.owner_id)
    return record


def enqueue_next(owner_id):
    """Enqueue the next import of the account, if there is one."""
    oldest = sql.select(Import.id).where(
        Import.owner_id == owner_id, Import.status.in_(UNFINISHED)
    )
    with unit_of_work(writes=False):
        id = sql.session.scalar(oldest.order_by(Import.id).limit(1))
    if id:
        with suppress(Problem):  # call_workers enqueues it later
            enqueue(advance, id)
