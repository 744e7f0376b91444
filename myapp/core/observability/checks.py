"""The checks of `flask doctor`: how to register one, and helpers for several of them.

A check is a generator function. It takes the configuration, yields `error(…)` or
`warning(…)` for each error, and returns the text to print if there is no error, or None if
there is nothing to check. A check changes nothing and shows no secret.
"""

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from flask import Config, current_app

from ..settings import PREFIX, configuration_name

LOW_DISK_BYTES = 256 * 2**20

CheckResult = tuple[str, str, str]  # level, message, hint
CheckFunction = TypeVar(
    "CheckFunction", bound=Callable[[Config], Generator[CheckResult, None, Any]]
)


class Check(NamedTuple):
    """A registered check; `after` names the check that it depends on."""

    name: str
    after: str | None
    function: Callable


CHECKS: dict[str, list[Check]] = defaultdict(list)  # by the name of their module


def check(
    after: str | None = "settings",
) -> Callable[[CheckFunction], CheckFunction]:
    """Register a generator function as a check; its name is the name of the check.

    `after`: run it only if that check has returned a text. With broken settings, the check
    `settings` returns None, so pass `after=None` for a check that needs no settings.
    """

    def register(function: CheckFunction) -> CheckFunction:
        CHECKS[function.__module__].append(Check(function.__name__, after, function))
        return function

    return register


def error(message: str, hint: str) -> CheckResult:
    """Return a finding that makes `flask doctor` fail; `hint` says how to fix it."""
    return "wrong", message, hint


def warning(message: str, hint: str) -> CheckResult:
    """Return a finding that makes only `flask doctor --strict` fail."""
    return "advice", message, hint


def error_in_production(config: Config, message: str, hint: str) -> CheckResult:
    """Return `error(…)` in production, `warning(…)` elsewhere."""
    return (error if is_production(config) else warning)(message, hint)


def is_production(config: Config) -> bool:
    """Return True in production; also works if the settings could not be loaded."""
    return config.get("CONFIG_NAME", configuration_name()) == "production"


def project_folder() -> Path:
    """Return the folder that holds the package, `.env` and `deploy/`."""
    return Path(current_app.root_path).parent


def check_body_limit(config: Config, name: str, nginx: str) -> Iterator[CheckResult]:
    """Yield a finding if uWSGI or nginx refuses a body that the setting `name` allows.

    `nginx`: the file with nginx's limit, relative to the project's folder.
    """
    size = config[name]
    uwsgi_bytes = _limit("myapp.ini", r"^limit-post = (\d+)")
    nginx_mib = _limit(nginx, r"client_max_body_size (\d+)m")
    message = f"{name} is {size:,} bytes, but"
    if size == 0:
        yield error(f"{name} is 0, so every body is refused", f"unset {PREFIX}{name}")
    elif size > uwsgi_bytes:
        hint = "raise limit-post in myapp.ini"
        yield error(f"{message} uWSGI accepts only {uwsgi_bytes:,}", hint)
    elif size > nginx_mib * 2**20:
        hint = f"raise client_max_body_size in {nginx}; then run deploy/setup"
        yield warning(f"{message} nginx accepts only {nginx_mib} MiB", hint)


def _limit(file: str, pattern: str) -> int:
    text = (project_folder() / file).read_text(encoding="utf-8")
    limit = re.search(pattern, text, re.MULTILINE)
    if limit is None:
        raise ValueError(f"{file} has no line {pattern}")
    return int(limit[1])


def check_folder(path: str, setting: str) -> Generator[CheckResult, None, int | None]:
    """Yield a finding if a folder cannot be written to, or if its disk is nearly full.

    Return the number of free bytes, or None after a finding. If the folder does not exist,
    its nearest existing parent is checked. `setting`: the setting that names the folder.
    """
    existing = path
    while not os.path.lexists(existing):
        existing = os.path.dirname(os.path.abspath(existing))
    if not os.path.isdir(existing) or not os.access(existing, os.W_OK | os.X_OK):
        hint = (
            f"give it to the account of the service, or set another folder: {setting}"
        )
        yield error(f"{path} cannot be written to", hint)
        return None
    free = shutil.disk_usage(existing).free
    if free < LOW_DISK_BYTES:
        message = f"only {free:,} bytes are free on the disk of {path}"
        yield error(message, "free some disk space")
        return None
    return free
