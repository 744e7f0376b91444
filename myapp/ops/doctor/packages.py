"""Compare the installed packages with requirements.txt.

This module imports only the standard library and click: if a package is missing, nothing
else of the service can be imported, and `flask doctor` must still say so.
"""

import re
import sys
from collections import defaultdict
from importlib import import_module, metadata
from pathlib import Path

from .report import Finding, print_report

PACKAGE = __package__.partition(".")[0]
ROOT = Path(__file__).parents[3]
LOCKED_PACKAGE = re.compile(r"^([\w.-]+)==([^\s;]+)( ;)?", re.MULTILINE)
INSTALL = f"{sys.executable} -m pip install --require-hashes -r requirements.txt"
REPAIR = INSTALL.replace(" install ", " install --force-reinstall ")


def is_doctor_command():
    """Return whether this process is `flask doctor`."""
    return sys.argv[1:2] == ["doctor"]


def check_packages(root):
    """Yield the fields of the messages about the packages, as core's CheckMessage has them.

    `root`: the folder of requirements.txt.
    """
    locked, optional, missing, others = defaultdict(set), set(), [], []
    lines = (root / "requirements.txt").read_text(encoding="utf-8")
    for name, version, marker in LOCKED_PACKAGE.findall(lines):
        locked[name].add(version)  # there may be one for each kind of machine
        if marker:
            optional.add(name)
    for name, versions in locked.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing += {name} - optional
        else:
            if installed not in versions:
                others.append(f"{name} {installed} for {' or '.join(sorted(versions))}")
    if missing:
        yield "wrong", f"missing: {', '.join(missing)}", INSTALL, "packages.E001"
    if others:
        yield "advice", f"not as locked: {', '.join(others)}", INSTALL, "packages.W002"
    yield "ok", f"{len(locked)}, as requirements.txt locks them", "", ""


def require_packages():
    """If this is `flask doctor`, and a package is missing or broken, report it and exit."""
    if not is_doctor_command():
        return
    try:
        import_module(f"{PACKAGE}.ops.commands")  # which imports all packages
    except ImportError as error:
        if (error.name or "").partition(".")[0] == PACKAGE:
            raise  # a mistake in our own code
        *messages, _ = check_packages(ROOT)
        if not any(level == "wrong" for level, *_ in messages):
            message = f"cannot be imported: {error}"
            messages.append(("wrong", message, REPAIR, "packages.E003"))
        findings = [Finding("packages", *message) for message in messages]
        print_report(findings, ["all else"], "--json" in sys.argv)
        raise SystemExit(1) from None
