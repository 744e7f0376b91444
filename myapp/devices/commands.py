"""`flask export-devices`, and the demo devices."""

import csv
import os
import sys
from pathlib import Path

import click

from ..core import ALL_RECORDS, ENCODERS, require_account, sql, unit_of_work
from .endpoints import devices
from .models import Device

DEMO = Path(__file__).parent.parent.parent / "data" / "smart-devices.csv"


@devices.demo(Device)
def fill(owner_id):
    """Create the demo devices, which are models on sale."""
    with DEMO.open(encoding="utf-8", newline="") as file:
        bodies = map(Device.body.validate, csv.DictReader(file))
        Device.create_many(bodies, owner_id=owner_id)


@devices.cli.command("export-devices")
@click.option("--owner", required=True, help="The username of the account.")
@click.option("--format", "form", type=click.Choice(list(ENCODERS)))
@click.argument("file", type=click.Path(dir_okay=False))
def export_devices(owner, form, file):
    """Export all devices of an account to a file: CSV or NDJSON.

    The format follows from the name, or from --format; `-` is standard output. The file is
    replaced only when the export is complete.
    """
    account = require_account(owner)
    form = form or file.rpartition(".")[2]
    if form not in ENCODERS:
        raise click.UsageError("The format is unknown. Set --format to csv or ndjson.")
    with unit_of_work(writes=False):
        total = sql.session.scalar(
            sql.select(sql.func.count()).where(Device.owner_id == account.id)
        )
    batches = Device.stream(ALL_RECORDS, owner_id=account.id)
    is_regular = os.path.isfile(file) or not os.path.exists(file)  # not a pipe
    try:
        with click.open_file(file, "wb", atomic=is_regular) as output:
            with click.progressbar(length=total, file=sys.stderr) as bar:
                for piece in ENCODERS[form](Device, with_progress(batches, bar)):
                    output.write(piece)
            output.flush()
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}.") from None
    click.echo(f"{total} devices exported.", err=True)


def with_progress(batches, bar):
    """Yield the batches, and advance the progress bar."""
    for batch in batches:
        yield batch
        bar.update(len(batch))
