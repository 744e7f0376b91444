"""The findings of `flask doctor`, and how they are printed.

Like packages.py, this module needs no package but click.
"""

import json
from typing import NamedTuple

import click

COLOURS = {"ok": "green", "advice": "yellow", "wrong": "red"}  # by level


class Finding(NamedTuple):
    """A message of a check; the names are those of the JSON."""

    check: str
    level: str
    message: str
    hint: str
    id: str


def print_report(findings, left_out, as_json):
    """Print findings and hints, or JSON; `left_out`: the checks that did not run."""
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in findings], indent=2))
        return
    for check, level, message, hint, id in findings:
        label = click.style(f"{level:<6}", COLOURS[level])
        click.echo(f"{id or check:<16} {label}  {message}")
        if hint:
            click.echo(f"{'':<25}{hint}")
    click.echo()
    if left_out:
        click.echo(f"Not checked until that is fixed: {', '.join(left_out)}.")
    levels = [finding.level for finding in findings]
    errors = f"{levels.count('wrong') or 'nothing is'} wrong"
    advice = f", {levels.count('advice')} advice" if "advice" in levels else ""
    number = len({finding.check for finding in findings})
    click.echo(f"{number} checks: {errors}{advice}.")
