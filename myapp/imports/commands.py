"""`flask import-devices`: devices from a file, with a progress bar."""

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

POLL_SECONDS = 0.5  # seconds between two looks


@imports.cli.command("import-devices")
@click.argument("file", type=click.File("rb"))
@click.option("--owner", required=True, help="The account that they are to belong to.")
@click.option("--format", "form", type=click.Choice(list(FORMS.values())))
@click.option("--dry-run", is_flag=True, help="Check every row, and register none.")
def import_devices(file, owner, form, dry_run):
    """Register devices from a file: CSV with a header, or NDJSON.

    Which of them its name says, or --format. Broken off by force, a worker goes on with
    it, as with any import; Ctrl-C cancels it.
    """
    account = require_account(owner)
    name = f"file.{form}" if form else file.name
    media_type = detect_media_type(FORMS, None, name)
    if media_type is None:
        raise click.UsageError("Is it csv or ndjson? Say so with --format.")
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
        raise click.ClickException("Cancelled; what was registered stays.") from None
    if record is None:
        raise click.ClickException("It was cancelled; what was registered stays.")
    for error in record.errors:
        where = error["pointer"][1:] and f"{error['pointer'][1:]} "
        click.echo(f"row {error['row']}: {where}{error['detail']}", err=True)
    done = "would fit" if dry_run else "registered"
    fitting = record.processed - record.rejected
    click.echo(f"{fitting} {done}, {record.rejected} rejected.")
    if record.status != DONE or record.rejected:
        raise click.exceptions.Exit(1)


def watch(id):
    """Take an import on to its end, and show how far it is; returns it, or None.

    Raises KeyboardInterrupt after Ctrl-C, between two steps.
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
            # an older import of the same account is not done yet
            time.sleep(POLL_SECONDS)


@contextmanager
def catch_interrupts():
    """The Ctrl-C that come while the block lasts, in a list: one in the middle of a
    statement would cost the connection."""
    interrupted = []
    before = signal.signal(signal.SIGINT, lambda number, _: interrupted.append(number))
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
