"""`flask export-devices`: all devices of an account, with a progress bar."""

import os
import sys

import click
from flask.cli import with_appcontext

from ..db import unit_of_work
from ..export import ENCODERS
from ..guard import named_account
from ..model import sql
from ..paging import EVERYTHING
from .models import Device


def init_app(app):
    app.cli.add_command(export_devices)


@click.command("export-devices")
@click.option("--owner", required=True, help="The account whose devices they are.")
@click.option("--format", "form", type=click.Choice(list(ENCODERS)))
@click.argument("file", type=click.Path(dir_okay=False))
@with_appcontext
def export_devices(owner, form, file):
    """Write all devices of an account to a file: CSV or NDJSON.

    Which of them its name says, or --format; `-` is standard output. The file is there
    when all is in it, and what it was before until then.
    """
    account = named_account(owner)
    form = form or file.rpartition(".")[2]
    if form not in ENCODERS:
        raise click.UsageError("Is it csv or ndjson? Say so with --format.")
    with unit_of_work(writes=False):
        total = sql.session.scalar(
            sql.select(sql.func.count()).where(Device.owner_id == account.id)
        )
    batches = Device.stream(EVERYTHING, owner_id=account.id)
    whole = os.path.isfile(file) or not os.path.exists(file)  # no pipe, no device
    try:
        with click.open_file(file, "wb", atomic=whole) as output:
            with click.progressbar(length=total, file=sys.stderr) as bar:
                for piece in ENCODERS[form](Device, counted(batches, bar)):
                    output.write(piece)
            output.flush()
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}.") from None
    click.echo(f"{total} devices", err=True)


def counted(batches, bar):
    """The same batches; the bar follows."""
    for batch in batches:
        yield batch
        bar.update(len(batch))
