"""What `flask doctor` has found, and how it is told; and what is missing of the packages.

This needs what `flask` itself does, and no more: without some package nothing else of ours
can be imported, and the doctor is to say so all the same.
"""

import json
import re
import sys
from collections import defaultdict
from importlib import import_module, metadata
from pathlib import Path
from typing import NamedTuple

import click

OK, ADVICE, WRONG = "ok", "advice", "wrong"
COLOURS = {OK: "green", ADVICE: "yellow", WRONG: "red"}
ROOT = Path(__file__).parent.parent
LOCKED = re.compile(r"^([\w.-]+)==([^\s;]+)( ;)?", re.MULTILINE)
INSTALL = f"{sys.executable} -m pip install --require-hashes -r requirements.txt"
REPAIR = INSTALL.replace(" install ", " install --force-reinstall ")


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


def is_called():
    """Whether this process is `flask doctor`."""
    return sys.argv[1:2] == ["doctor"]


def packages(root):
    """What is installed, against what is locked: a check, as those in checks.py."""
    locked, optional = defaultdict(set), set()
    lines = (root / "requirements.txt").read_text(encoding="utf-8")
    for name, version, marker in LOCKED.findall(lines):
        locked[name].add(version)  # there may be one for each kind of machine
        if marker:
            optional.add(name)
    missing, others = [], []
    for name, versions in locked.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            if name not in optional:
                missing.append(name)
        else:
            if installed not in versions:
                others.append(f"{name} {installed} for {' or '.join(sorted(versions))}")
    if missing:
        yield wrong(f"missing: {', '.join(missing)}", INSTALL)
    if others:
        yield advice(f"not as locked: {', '.join(others)}", INSTALL)
    return f"{len(locked)}, as requirements.txt locks them"


def require_packages():
    """Where the doctor is called, and the rest cannot be imported for a package that is
    missing or broken, say so, and end."""
    if not is_called():
        return
    try:
        import_module(".cli", __package__)  # which needs all of them
    except ImportError as error:
        if (error.name or "").partition(".")[0] == __package__:
            raise  # a mistake of ours
        found = list(packages(ROOT))
        if not any(level == WRONG for level, *_ in found):
            found.append(wrong(f"cannot be imported: {error}", REPAIR))
        found = [Finding("packages", *words) for words in found]
        show(found, ["all else"], "--json" in sys.argv)
        raise SystemExit(1) from None


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
