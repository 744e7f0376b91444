"""Installed packages against requirements.txt.

This module needs only what `flask` itself needs: where a package is missing, nothing else
of the service can be imported, and `flask doctor` must still say so.
"""

import re
import sys
from collections import defaultdict
from importlib import import_module, metadata
from pathlib import Path

from .report import WRONG, Finding, advice, show, wrong

PACKAGE = __package__.partition(".")[0]
ROOT = Path(__file__).parents[3]
LOCKED = re.compile(r"^([\w.-]+)==([^\s;]+)( ;)?", re.MULTILINE)
INSTALL = f"{sys.executable} -m pip install --require-hashes -r requirements.txt"
REPAIR = INSTALL.replace(" install ", " install --force-reinstall ")


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
        import_module(f"{PACKAGE}.ops.commands")  # which needs all of them
    except ImportError as error:
        if (error.name or "").partition(".")[0] == PACKAGE:
            raise  # a mistake of ours
        found = list(packages(ROOT))
        if not any(level == WRONG for level, *_ in found):
            found.append(wrong(f"cannot be imported: {error}", REPAIR))
        found = [Finding("packages", *words) for words in found]
        show(found, ["all else"], "--json" in sys.argv)
        raise SystemExit(1) from None
