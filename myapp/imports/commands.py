"""`flask import-devices`: register devices from a file, with a progress bar."""

import signal
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import copyfileobj
from uuid import uuid4

import click
from flask import current_app

from ..core import (
    ServiceError,
    Upload,
    detect_media_type,
    require_account,
    sql,
    unit_of_work,
)
from .endpoints import imports
from .models import DONE, FORMS, UNFINISHED, Import
from .tasks import steps

POLL_SECONDS = 0.5  # between two queries of the state


@imports.cli.command("import-devices")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--owner", required=True, help="The username of the account that will own them."
)
@click.option("--format", "form", type=click.Choice(list(FORMS.values())))
@click.option(
    "--dry-run", is_flag=True, help="Check every row, but register no device."
)
def import_devices(file, owner, form, dry_run):
    """Register devices from a file: CSV with a header, or NDJSON.

    The format follows from the name, or from --format. Ctrl-C cancels the import. If the
    command is killed, a worker continues the import.
    """
    account = require_account(owner)
    name = f"file.{form}" if form else file.name
    media_type = detect_media_type(FORMS, None, name)
    if media_type is None:
        raise click.UsageError("The format is unknown. Set --format to csv or ndjson.")
    upload = Upload(current_app.config["IMPORTS_FOLDER"])
    upload.name, upload.media_type = Path(file.name).name, media_type
    copyfileobj(file, upload)
    upload.close()
    try:
        with unit_of_work():
            id = Import.create(upload, account.id, dry_run).id
    except ServiceError as error:
        upload.drop()
        faults = [f"{f['pointer'][1:]} {f['detail']}" for f in error.errors or ()]
        raise click.ClickException("; ".join([error.detail, *faults])) from None
    try:
        record = watch(id)
    except KeyboardInterrupt:
        with unit_of_work():
            record = Import.lock(id)
            if record:
                record.delete()
        raise click.ClickException(
            "Cancelled. The devices that are registered are kept."
        ) from None
    if record is None:
        raise click.ClickException(
            "Another client cancelled the import. The devices that are registered are kept."
        )
    for error in record.errors:
        where = error["pointer"][1:] and f"{error['pointer'][1:]} "
        click.echo(f"row {error['row']}: {where}{error['detail']}", err=True)
    done = "accepted" if dry_run else "registered"
    fitting = record.processed - record.rejected
    click.echo(f"{fitting} {done}, {record.rejected} rejected.")
    if record.status != DONE or record.rejected:
        raise click.exceptions.Exit(1)


def watch(id):
    """Process an import and show its progress. Return it, or None if it was deleted.

    Raises KeyboardInterrupt between two steps, after Ctrl-C.
    """
    worker, bar = str(uuid4()), None
    with ExitStack() as stack:
        interrupted = stack.enter_context(catch_interrupts())
        while True:
            for record in filter(None, steps(id, worker)):
                if interrupted:
                    raise KeyboardInterrupt
                if bar is None:
                    bar = click.progressbar(length=record.total, file=sys.stderr)
                    stack.enter_context(bar)
                bar.update(record.processed - bar.pos)
            with unit_of_work(writes=False):
                record = sql.session.get(Import, id, populate_existing=True)
            if record is None or record.status not in UNFINISHED:
                return record
            if interrupted:
                raise KeyboardInterrupt
            # An older import of the same account is still running.
            time.sleep(POLL_SECONDS)


@contextmanager
def catch_interrupts():
    """Yield a list that collects each Ctrl-C of the block.

    KeyboardInterrupt in the middle of a statement would break the connection.
    """
    interrupted = []
    before = signal.signal(signal.SIGINT, lambda number, _: interrupted.append(number))
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
