"""Checks of the machine: folders, disks and the port."""

import errno
import os

from flask import current_app

from ....core.observability.checks import (
    check,
    check_folder,
    is_production,
    warning,
)
from ....core.settings import MAX_PORT, variable_name
from ...probes import bind_error, readiness
from .common import sqlite_file


@check()
def folders(config):
    """Check that the folders of this machine are writable, and that there is room."""
    places = {current_app.instance_path: "INSTANCE_PATH"}
    if file := sqlite_file(config):
        places.setdefault(
            os.path.dirname(file), variable_name("SQLALCHEMY_DATABASE_URI")
        )
    room = []
    for path, setting in places.items():
        room.append((yield from check_folder(path, setting)))
    return all(room) and f"writable, {min(room) / 2**30:,.0f} GiB left"


@check()
def port(config):
    """Check that `make run` can listen; in production, other programs listen."""
    number = config["PORT"]
    if is_production(config):
        return
    error = bind_error(number)
    if error is None:
        return f"{number} is free"
    status, _ = readiness(number)
    if status not in (200, 503):
        message = f"another program listens on {number}"
        if error.errno != errno.EADDRINUSE:
            message = f"this process must not listen on {number}: {error.strerror}"
        other = number + 1 if 1024 <= number < MAX_PORT else 5001
        yield warning(message, f"PORT={other} make run")
    return f"the service listens on {number}"
