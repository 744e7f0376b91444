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

from ..core import ServiceError, Upload, media_type_of, named_account, sql, unit_of_work
from .endpoints import imports
from .models import DONE, FORMS, UNFINISHED, Import
from .tasks import steps

MOMENT = 0.5  # seconds between two looks


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
    account = named_account(owner)
    name = f"file.{form}" if form else file.name
    media_type = media_type_of(FORMS, None, name)
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
        found = watched(id)
    except KeyboardInterrupt:
        with unit_of_work():
            found = Import.locked(id)
            if found:
                found.delete()
        raise click.ClickException("Cancelled; what was registered stays.") from None
    if found is None:
        raise click.ClickException("It was cancelled; what was registered stays.")
    for error in found.errors:
        where = error["pointer"][1:] and f"{error['pointer'][1:]} "
        click.echo(f"row {error['row']}: {where}{error['detail']}", err=True)
    done = "would fit" if dry_run else "registered"
    fitting = found.processed - found.rejected
    click.echo(f"{fitting} {done}, {found.rejected} rejected.")
    if found.status != DONE or found.rejected:
        raise click.exceptions.Exit(1)


def watched(id):
    """Take an import on to its end, and show how far it is; returns it, or None.

    Raises KeyboardInterrupt after Ctrl-C, between two steps.
    """
    worker, bar = str(uuid4()), None
    with ExitStack() as shown:
        asked = shown.enter_context(interrupts())
        while True:
            for found in filter(None, steps(id, worker)):
                if asked:
                    raise KeyboardInterrupt
                if bar is None:
                    bar = click.progressbar(length=found.total, file=sys.stderr)
                    shown.enter_context(bar)
                bar.update(found.processed - bar.pos)
            with unit_of_work(writes=False):
                found = sql.session.get(Import, id, populate_existing=True)
            if found is None or found.status not in UNFINISHED:
                return found
            if asked:
                raise KeyboardInterrupt
            time.sleep(MOMENT)  # an older import of the same account is not done yet


@contextmanager
def interrupts():
    """The Ctrl-C that come while the block lasts, in a list: one in the middle of a
    statement would cost the connection."""
    asked = []
    before = signal.signal(signal.SIGINT, lambda number, _: asked.append(number))
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
