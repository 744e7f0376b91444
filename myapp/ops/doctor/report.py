"""The findings of `flask doctor`, and how they are printed.

Like packages.py, this module needs no package but click.
"""

import json
from typing import NamedTuple

import click

OK, WARNING, ERROR = "ok", "advice", "wrong"
COLOURS = {OK: "green", WARNING: "yellow", ERROR: "red"}


class CheckMessage(NamedTuple):
    """A result of a check; the names are those of the JSON.

    `level`: ok, advice or wrong; `message`: the fact or the fault; `hint`: a command or a
    setting that fixes the fault.
    """

    check: str
    level: str
    message: str
    hint: str


def print_report(findings, left_out, as_json):
    """Print a line for each finding and a line for its hint; or all of it as JSON.

    `left_out`: the names of checks that did not run.
    """
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in findings], indent=2))
        return
    for check, level, message, hint in findings:
        click.echo(
            f"{check:<12} {click.style(f'{level:<6}', COLOURS[level])}  {message}"
        )
        if hint:
            click.echo(f"{'':<21}{hint}")
    click.echo()
    if left_out:
        click.echo(f"Not checked until that is fixed: {', '.join(left_out)}.")
    levels = [finding.level for finding in findings]
    faults = f"{levels.count(ERROR)} wrong" if ERROR in levels else "nothing is wrong"
    hints = f", {levels.count(WARNING)} advice" if WARNING in levels else ""
    number = len({finding.check for finding in findings})
    click.echo(f"{number} checks: {faults}{hints}.")
