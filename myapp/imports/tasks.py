"""Registering the devices of an import, and what is left of imports that have ended."""

import time
from contextlib import suppress
from pathlib import Path

from flask import current_app, g

from ..core import (
    Problem,
    ServiceError,
    delete_in_batches,
    every,
    fault,
    guard,
    now,
    send,
    sql,
    task,
    unit_of_work,
)
from ..devices.models import Device
from .models import DONE, FAILED, LONGEST, RUNNING, UNFINISHED, Import

TURN = 15  # seconds; then others have their turn
AT_ONCE = 2000  # rows in a transaction; a writer beside it waits for no more
MOST_FAULTS = 20  # of a row
MOST_REJECTED = 1_000_000  # rows; whose file has more means another file
ABANDONED = 3600  # seconds without a write, until a file that belongs to nothing goes


@task
def advance(id):
    """Take an import on, for a turn; what is left is for the next one."""
    if not there(id) and advance.request.retries < 3:  # sent just before its commit
        raise advance.retry(countdown=0.5)
    until = time.monotonic() + TURN
    found = None
    for found in steps(id, g.task_id):
        if found and found.status == RUNNING and time.monotonic() > until:
            if changed(found, Import.pause):
                send(advance, id)
            break
    if found is None:
        return f"nothing to do for import {id}"
    return f"import {id} {found.status}, {found.processed} of {found.total} rows"


@every(seconds=5)
def call_workers():
    """Call a worker for each import that waits for none: its own may have died."""
    with unit_of_work():
        due = Import.due_at < now()
        waiting = sql.select(Import).where(Import.status.in_(UNFINISHED), due)
        ids = []
        for found in sql.session.scalars(waiting):
            if found.may_go_on(None):
                found.pause()
                ids.append(found.id)
    for id in ids:
        send(advance, id)


@every(minutes=10)
def tidy():
    """Forget imports that ended long ago, and files that nobody will read any more."""
    ended = Import.status.not_in(UNFINISHED), Import.due_at < now()
    count = delete_in_batches(Import.__table__, *ended)
    abandoned = {}
    for file in Path(current_app.config["IMPORTS_FOLDER"]).glob("*"):
        with suppress(FileNotFoundError):  # somebody else is tidying, too
            if file.stat().st_mtime < time.time() - ABANDONED:
                abandoned[file.name] = file
    if abandoned:
        waiting = Import.file.in_(abandoned), Import.status.in_(UNFINISHED)
        with unit_of_work(writes=False):
            wanted = set(sql.session.scalars(sql.select(Import.file).where(*waiting)))
        for name in abandoned.keys() - wanted:
            abandoned[name].unlink(missing_ok=True)
    return count and f"{count} imports"


def there(id):
    with unit_of_work():
        return Import.locked(id) is not None


def steps(id, worker):
    """Take an import on as that worker, a batch at a time.

    Yields it after each, and None if it is another worker's by then, or nobody's.
    """
    with unit_of_work():
        found = Import.locked(id)
        if found is None or not found.may_go_on(worker):
            return
    found = changed(found, lambda it: it.begin(worker))
    if found is None or found.status != RUNNING:
        yield found
        return
    try:
        with open(found.path, "rb") as file:
            if found.total is None:
                total = found.rows(file).count()
                found = changed(found, lambda it: it.update(total=total))
            rows = found and found.rows(file)
            while found and found.status == RUNNING:
                found = changed(found, next_step(found, rows))
                yield found
    except FileNotFoundError:
        yield changed(found, lambda it: it.end(FAILED, "Its file is not here."))
    except ServiceError as error:
        why = error.detail
        yield changed(found, lambda it: it.end(FAILED, why))


def next_step(found, rows):
    """What the next rows of its file ask to be done with an import: a function of it."""
    batch = rows.take(AT_ONCE)
    bodies, faults = [], []
    for number, row in enumerate(batch, found.processed + 1):
        try:
            if isinstance(row, ServiceError):
                raise row
            bodies.append(Device.body.check(row))
        except ServiceError as error:
            errors = error.errors or [fault("", error.detail)]
            faults += (
                {
                    "row": number,
                    "pointer": e["pointer"][:LONGEST],
                    "detail": e["detail"],
                }
                for e in errors[:MOST_FAULTS]
            )
    if not batch:
        return lambda it: it.end(DONE)
    if not may_come_in(found):
        return lambda it: it.end(FAILED, "Its account may not come in any more.")
    if found.rejected > MOST_REJECTED:
        return lambda it: it.end(
            FAILED, f"More than {MOST_REJECTED:,} rows do not fit."
        )
    rejected = len(batch) - len(bodies)
    return lambda it: it.register(bodies, faults, rejected, rows.position)


def may_come_in(found):
    """Whether the account of an import may still do so; as old as a second."""
    owner = sql.select(Import.owner).where(Import.id == found.id)
    with unit_of_work(writes=False):  # not what was read before: names change
        name = sql.session.scalar(owner)
    account = guard().account(username=name or "")
    return account is not None and account.id == found.owner_id


def changed(found, change):
    """The import, changed; None, and nothing is, if it is another worker's by now."""
    state = found.worker, found.position
    with unit_of_work():
        found = Import.locked(found.id)
        if found is None or (found.worker, found.position) != state:
            return None
        change(found)
    if found.status != RUNNING:
        found.drop_file()
        call_next(found.owner_id)
    return found


def call_next(owner_id):
    """Call a worker for the account's next import, if there is one."""
    next = sql.select(Import.id).where(
        Import.owner_id == owner_id, Import.status.in_(UNFINISHED)
    )
    with unit_of_work(writes=False):
        id = sql.session.scalar(next.order_by(Import.id).limit(1))
    if id:
        with suppress(Problem):  # call_workers does it, when it can
            send(advance, id)
