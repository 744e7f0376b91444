"""The checks of `flask doctor`: how to register one, and what several of them share.

A check is a generator function. It takes the configuration, yields `wrong(…)` or
`advice(…)` for each fault, and returns a sentence to print where there is no fault; it
returns None where there is nothing to check. A check changes nothing and shows no secret.
"""

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import NamedTuple

from flask import Config, current_app

from ..settings import PREFIX, environment

LOW_DISK_BYTES = 256 * 2**20

Finding = tuple[str, str, str]  # level, message, hint


class Check(NamedTuple):
    """A registered check; `after` names the check that it depends on."""

    name: str
    after: str | None
    function: Callable


CHECKS: dict[str, list[Check]] = defaultdict(list)  # by the name of their module


def check(after: str | None = "settings") -> Callable:
    """Decorate a generator function that is a check; its name is the check's name.

    `after`: run it only if that check has returned a sentence. With broken settings the
    check `settings` returns None, so pass `after=None` for a check that needs no settings.
    """

    def register(function):
        CHECKS[function.__module__].append(Check(function.__name__, after, function))
        return function

    return register


def wrong(message: str, hint: str) -> Finding:
    """Return a finding that makes `flask doctor` fail; `hint` says how to mend it."""
    return "wrong", message, hint


def advice(message: str, hint: str) -> Finding:
    """Return a finding that makes only `flask doctor --strict` fail."""
    return "advice", message, hint


def wrong_in_production(config: Config, message: str, hint: str) -> Finding:
    """Return `wrong(…)` in production, `advice(…)` elsewhere."""
    return (wrong if in_production(config) else advice)(message, hint)


def in_production(config: Config) -> bool:
    """Return whether this is production; also works if the settings could not be loaded."""
    return config.get("CONFIG_NAME", environment()) == "production"


def project_folder() -> Path:
    """Return the folder that holds the package, `.env` and `deploy/`."""
    return Path(current_app.root_path).parent


def check_body_limit(config: Config, name: str, nginx: str) -> Iterator[Finding]:
    """Yield a finding if uWSGI or nginx refuses a body that the setting `name` allows.

    `nginx`: the file with the limit of nginx, from the project's folder.
    """
    size, folder = config[name], project_folder()
    uwsgi = (folder / "myapp.ini").read_text(encoding="utf-8")
    uwsgi_bytes = int(re.search(r"^limit-post = (\d+)", uwsgi, re.MULTILINE)[1])
    limits = (folder / nginx).read_text(encoding="utf-8")
    nginx_mib = int(re.search(r"client_max_body_size (\d+)m", limits)[1])
    message = f"{name} is {size:,} bytes, of which"
    if size == 0:
        yield wrong(f"{name} 0 takes no body at all", f"unset {PREFIX}{name}")
    elif size > uwsgi_bytes:
        hint = "limit-post in myapp.ini"
        yield wrong(f"{message} uWSGI takes {uwsgi_bytes:,}", hint)
    elif size > nginx_mib * 2**20:
        hint = f"client_max_body_size in {nginx}; then deploy/setup"
        yield advice(f"{message} nginx takes {nginx_mib} MiB", hint)


def check_folder(path: str, setting: str) -> Generator[Finding, None, int | None]:
    """Yield a finding if a folder cannot be written to, or if its disk is nearly full.

    Return how many bytes are left; None after a finding. A folder that does not exist is
    judged by the nearest one above it. `setting`: the variable that names the folder.
    """
    existing = path
    while not os.path.lexists(existing):
        existing = os.path.dirname(os.path.abspath(existing))
    if not os.path.isdir(existing) or not os.access(existing, os.W_OK | os.X_OK):
        hint = (
            f"give it to the account of the service, or set another folder: {setting}"
        )
        yield wrong(f"{path} cannot be written to", hint)
        return None
    left = shutil.disk_usage(existing).free
    if left < LOW_DISK_BYTES:
        message = f"{left:,} bytes are left on the disk of {path}"
        yield wrong(message, "make room there")
        return None
    return left
