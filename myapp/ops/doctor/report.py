"""The findings of `flask doctor`, and how they are printed."""

import json
from typing import NamedTuple

import click

OK, ADVICE, WRONG = "ok", "advice", "wrong"
COLOURS = {OK: "green", ADVICE: "yellow", WRONG: "red"}


class Finding(NamedTuple):
    """`level`: ok, advice or wrong; `told`: the fact or the fault; `mend`: a command or a
    setting, where there is something to mend."""

    check: str
    level: str
    told: str
    mend: str = ""


def advice(told, mend):
    return ADVICE, told, mend


def wrong(told, mend):
    return WRONG, told, mend


def show(found, left_out, as_json):
    """Print a line for each finding, and below it what mends it; or all of it for a
    program."""
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in found], indent=2))
        return
    for check, level, told, mend in found:
        click.echo(f"{check:<12} {click.style(f'{level:<6}', COLOURS[level])}  {told}")
        if mend:
            click.echo(f"{'':<21}{mend}")
    click.echo()
    if left_out:
        click.echo(f"Not looked at until that is mended: {', '.join(left_out)}.")
    levels = [finding.level for finding in found]
    faults = f"{levels.count(WRONG)} wrong" if WRONG in levels else "nothing is wrong"
    hints = f", {levels.count(ADVICE)} to think about" if ADVICE in levels else ""
    things = len({finding.check for finding in found})
    click.echo(f"{things} things looked at: {faults}{hints}.")
