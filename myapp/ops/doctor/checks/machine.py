"""Checks of the machine."""

import errno
import os
import platform
import shutil
import sys
from pathlib import Path

from flask import current_app

from ....core.settings import LAST_PORT, PREFIX
from ...probes import readiness, refusal
from .. import packages as installed
from ..report import advice, wrong
from .common import OLDEST, ROOT, dotted, graver, in_production, sqlite_file

FULL = 256 * 2**20  # bytes that are left of a disk
FEW_FILES = 256  # what a Mac allows, where nobody has asked for more


# The machine
def python(_config):
    version, oldest = platform.python_version(), OLDEST["Python"]
    if sys.version_info < oldest:
        told = f"{version} is older than {dotted(oldest)}"
        yield wrong(told, "make clean; make PYTHON=python3.12 run")
    return version


def packages(_config):
    """What is installed, against what is locked."""
    return (yield from installed.packages(ROOT))


def readers(config):
    """Who may read the files that hold secrets."""
    files = (ROOT / ".env", Path(current_app.instance_path) / "config.py")
    there = [file for file in files if file.exists()]
    for file in there:
        if file.stat().st_mode & 0o004:
            told = f"every account of this machine may read {file}"
            yield graver(config)(told, f"chmod o-rwx {file}")
    names = " and ".join(file.name for file in there)
    return f"{names}: not for everybody" if there else "no .env, no instance/config.py"


def open_files(_config):
    try:
        import resource
    except ImportError:  # on Windows
        return
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= most < FEW_FILES:  # -1: any number
        told = f"a process may have {most} open, and each connection is one"
        yield advice(told, f"ulimit -n {4 * FEW_FILES}, or LimitNOFILE= in its unit")
    return "any number" if most < 0 else f"{most:,} at once"


def folders(config):
    """Where this machine keeps its own things, and whether there is room."""
    places = [current_app.instance_path, config["IMPORTS_FOLDER"]]
    if file := sqlite_file(config):
        places.append(os.path.dirname(file))
    disks = {}
    for place in dict.fromkeys(places):
        there = nearest(place)
        if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):
            mend = "give it to the account of the service, or set another folder: "
            mend += f"INSTANCE_PATH, {PREFIX}IMPORTS_FOLDER"
            yield wrong(f"{place} cannot be written to", mend)
        else:
            disks[os.stat(there).st_dev] = place, shutil.disk_usage(there).free
    for place, left in disks.values():
        told = f"{left:,} bytes are left on the disk of {place}"
        if left < FULL:
            yield wrong(told, "make room there")
        elif left < config["MAX_IMPORT_BYTES"]:
            mend = f"make room there, or lower {PREFIX}MAX_IMPORT_BYTES"
            yield advice(f"{told}; an import may be more", mend)
    room = min((left for _, left in disks.values()), default=0)
    return f"writable, {room / 2**30:,.0f} GiB left"


def nearest(path):
    """The path, or the first of those above it that is there."""
    while not os.path.lexists(path):
        path = os.path.dirname(os.path.abspath(path))
    return path


def port(config):
    """Where `make run` listens; in production that is somebody else's business."""
    number = config["PORT"]
    if in_production(config):
        return
    error = refusal(number)
    if error is None:
        return f"{number} is free"
    status, _ = readiness(number)
    if status not in (200, 503):
        told = f"another program listens on {number}"
        if error.errno != errno.EADDRINUSE:
            told = f"nobody may listen on {number} here: {error.strerror}"
        other = number + 1 if 1024 <= number < LAST_PORT else 5001
        yield advice(told, f"PORT={other} make run")
    return f"the service listens on {number}"
