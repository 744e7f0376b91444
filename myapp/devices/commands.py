"""The demo devices and their number; `flask export-devices`: all of an account."""

import csv
import os
import sys
from pathlib import Path

import click

from ..core import ALL_RECORDS, ENCODERS, require_account, sql, unit_of_work
from .endpoints import devices
from .models import Device

DEMO = Path(__file__).parent.parent.parent / "data" / "smart-devices.csv"

devices.statistics["devices"] = sql.select(sql.func.count(Device.id))


@devices.demo(Device)
def fill(owner_id):
    """Real models of smart devices."""
    with DEMO.open(encoding="utf-8", newline="") as file:
        bodies = map(Device.body.validate, csv.DictReader(file))
        Device.create_many(bodies, owner_id=owner_id)


@devices.cli.command("export-devices")
@click.option("--owner", required=True, help="The account whose devices they are.")
@click.option("--format", "form", type=click.Choice(list(ENCODERS)))
@click.argument("file", type=click.Path(dir_okay=False))
def export_devices(owner, form, file):
    """Write all devices of an account to a file: CSV or NDJSON.

    Which of them its name says, or --format; `-` is standard output. The file is there
    when all is in it, and what it was before until then.
    """
    account = require_account(owner)
    form = form or file.rpartition(".")[2]
    if form not in ENCODERS:
        raise click.UsageError("Is it csv or ndjson? Say so with --format.")
    with unit_of_work(writes=False):
        total = sql.session.scalar(
            sql.select(sql.func.count()).where(Device.owner_id == account.id)
        )
    batches = Device.stream(ALL_RECORDS, owner_id=account.id)
    is_regular = os.path.isfile(file) or not os.path.exists(file)  # no pipe, no device
    try:
        with click.open_file(file, "wb", atomic=is_regular) as output:
            with click.progressbar(length=total, file=sys.stderr) as bar:
                for piece in ENCODERS[form](Device, with_progress(batches, bar)):
                    output.write(piece)
            output.flush()
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}.") from None
    click.echo(f"{total} devices", err=True)


def with_progress(batches, bar):
    """The same batches; the bar follows."""
    for batch in batches:
        yield batch
        bar.update(len(batch))
