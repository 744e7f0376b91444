"""Compare the installed packages with requirements.txt.

This module imports only the standard library and click: if a package is missing, nothing
else of the service can be imported, and `flask doctor` must still say so.
"""

import re
import sys
from collections import defaultdict
from importlib import import_module, metadata
from pathlib import Path

from .report import ERROR, WARNING, CheckMessage, print_report

PACKAGE = __package__.partition(".")[0]
ROOT = Path(__file__).parents[3]
LOCKED_PACKAGE = re.compile(r"^([\w.-]+)==([^\s;]+)( ;)?", re.MULTILINE)
INSTALL = f"{sys.executable} -m pip install --require-hashes -r requirements.txt"
REPAIR = INSTALL.replace(" install ", " install --force-reinstall ")


def is_doctor_command():
    """Return whether this process is `flask doctor`."""
    return sys.argv[1:2] == ["doctor"]


def check_packages(root):
    """Yield a finding if packages are missing, and one if they are not the locked ones.

    `root`: the folder of requirements.txt. It is a check: see core/observability/checks.py.
    """
    locked, optional = defaultdict(set), set()
    lines = (root / "requirements.txt").read_text(encoding="utf-8")
    for name, version, marker in LOCKED_PACKAGE.findall(lines):
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
        yield ERROR, f"missing: {', '.join(missing)}", INSTALL
    if others:
        yield WARNING, f"not as locked: {', '.join(others)}", INSTALL
    return f"{len(locked)}, as requirements.txt locks them"


def require_packages():
    """If this is `flask doctor`, and a package is missing or broken, report it and exit."""
    if not is_doctor_command():
        return
    try:
        import_module(f"{PACKAGE}.ops.commands")  # which imports all packages
    except ImportError as error:
        if (error.name or "").partition(".")[0] == PACKAGE:
            raise  # a mistake in our own code
        results = list(check_packages(ROOT))
        if not any(level == ERROR for level, *_ in results):
            results.append((ERROR, f"cannot be imported: {error}", REPAIR))
        findings = [CheckMessage("packages", *result) for result in results]
        print_report(findings, ["all else"], "--json" in sys.argv)
        raise SystemExit(1) from None
