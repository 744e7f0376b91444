"""Checks of the machine: Python, the packages, open files, folders and the port."""

import errno
import os
import platform
import sys

from flask import current_app
from sqlalchemy import make_url

from ...core.observability.checks import (
    Error,
    Ok,
    Warning,
    check,
    check_folder,
    project_folder,
)
from ...core.settings import MAX_PORT, variable_name
from ..probes import bind_error, readiness
from . import packages
from .database import sqlite_file, version_text

MIN_PYTHON = 3, 11  # the oldest that is maintained
MIN_OPEN_FILES = 256  # the default on macOS


@check("python", after=None)
def check_python(_context):
    """Check the version of Python."""
    version = platform.python_version()
    if sys.version_info < MIN_PYTHON:
        message = f"{version} is older than {version_text(MIN_PYTHON)}"
        yield Error(message, "make clean; make PYTHON=python3.12 run", "python.E001")
    yield Ok(version)


@check("packages", after=None)
def check_packages(_context):
    """Compare the installed packages with the locked ones."""
    yield from packages.check_packages(project_folder())


@check("open_files", after=None)
def check_open_files(_context):
    """Check how many files a process may have open."""
    try:
        import resource
    except ImportError:  # on Windows
        return
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= most < MIN_OPEN_FILES:  # -1: any number
        message = f"a process may open {most} files, and each connection is one"
        hint = f"ulimit -n {4 * MIN_OPEN_FILES}, or LimitNOFILE= in its unit"
        yield Warning(message, hint, "open_files.W001")
    yield Ok("any number" if most < 0 else f"{most:,} at once")


@check("folders")
def check_folders(context):
    """Check that the folders of this machine are writable, and that there is room."""
    settings = {current_app.instance_path: "INSTANCE_PATH"}  # by folder
    if file := sqlite_file(make_url(context.config["SQLALCHEMY_DATABASE_URI"])):
        setting = variable_name("SQLALCHEMY_DATABASE_URI")
        settings.setdefault(os.path.dirname(file), setting)
    free = []
    for folder, setting in settings.items():
        free.append((yield from check_folder(context, folder, setting)))
    if all(free):
        yield Ok(f"writable, {min(free) / 2**30:,.0f} GiB left")


@check("port")
def check_port(context):
    """Check that `make run` can listen; in production, other programs listen."""
    number = context.config["PORT"]
    if context.config["CONFIG_NAME"] == "production":
        return
    error = bind_error(number)
    if error and readiness(number)[0] not in (200, 503):
        message = f"another program listens on {number}"
        if error.errno != errno.EADDRINUSE:
            message = f"this process must not listen on {number}: {error.strerror}"
        other = number + 1 if 1024 <= number < MAX_PORT else 5001
        yield Warning(message, f"PORT={other} make run", "port.W001")
    yield Ok(f"the service listens on {number}" if error else f"{number} is free")
