"""The checks of `flask doctor`: how to register one, and two that features share.

A check is a generator function. It takes a Context and yields messages, at last `Ok(…)`,
which is shown if there is no other. Without it, the checks that come after it do not run.
It changes nothing and shows no secret. The id of a message, `<check>.E001` or
`<check>.W001`, never changes. Numbers from 101 are those of the shared checks.
"""

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from flask import Config, current_app

from ..settings import PREFIX

LOW_DISK_BYTES = 256 * 2**20


class CheckMessage(NamedTuple):
    """A fact or an error, and the command or the setting that fixes it."""

    level: str
    message: str
    hint: str = ""
    id: str = ""


Ok = partial(CheckMessage, "ok")
Warning = partial(CheckMessage, "advice")  # fails only `flask doctor --strict`
Error = partial(CheckMessage, "wrong")


class Context(NamedTuple):
    """The argument of each check."""

    name: str  # of the check
    config: Config
    deploy: bool  # whether production is checked: there, or with `--deploy`
    settings_error: BaseException | None  # raised by the settings if they are unusable

    def error_on_deploy(self, message: str, hint: str, id: str) -> CheckMessage:
        """Return an Error if production is checked, else a Warning."""
        return (Error if self.deploy else Warning)(message, hint, id)


CheckFunction = Callable[[Context], Iterator[CheckMessage]]


class Check(NamedTuple):
    """A registered check; it runs if the one named by `after` has yielded Ok."""

    name: str
    after: str | None
    deploy: bool
    function: CheckFunction


CHECKS: dict[str, list[Check]] = defaultdict(list)  # by the name of their module


def check(
    name: str, *, after: str | None = "settings", deploy: bool = False
) -> Callable[[CheckFunction], CheckFunction]:
    """Register a function as a check; `deploy`: only for production.

    Pass `after=None` for a check that runs with invalid settings, too.
    """

    def register(function: CheckFunction) -> CheckFunction:
        CHECKS[function.__module__].append(Check(name, after, deploy, function))
        return function

    return register


def project_folder() -> Path:
    """Return the folder that holds the package, `.env` and `deploy/`."""
    return Path(current_app.root_path).parent


def check_body_limit(
    context: Context, setting: str, nginx: str
) -> Iterator[CheckMessage]:
    """Yield an error if a server refuses a body that our limit, a setting, allows.

    `nginx`: the file with the limit of nginx, relative to the project's folder.
    """
    size, name = context.config[setting], context.name
    message = f"{setting} is {size:,} bytes, but"
    uwsgi_bytes = _limit("myapp.ini", r"^limit-post = (\d+)")
    nginx_mib = _limit(nginx, r"client_max_body_size (\d+)m")
    if size == 0:
        message = f"{setting} is 0, so every body is refused"
        yield Error(message, f"unset {PREFIX}{setting}", f"{name}.E101")
    elif size > uwsgi_bytes:
        message += f" uWSGI accepts only {uwsgi_bytes:,}"
        yield Error(message, "raise limit-post in myapp.ini", f"{name}.E102")
    elif size > nginx_mib * 2**20:
        message += f" nginx accepts only {nginx_mib} MiB"
        hint = f"raise client_max_body_size in {nginx}; then run deploy/setup"
        yield Warning(message, hint, f"{name}.W103")


def _limit(file: str, pattern: str) -> int:
    text = (project_folder() / file).read_text(encoding="utf-8")
    if limit := re.search(pattern, text, re.MULTILINE):
        return int(limit[1])
    raise ValueError(f"{file} has no line {pattern}")


def check_folder(
    context: Context, path: str, setting: str
) -> Generator[CheckMessage, None, int | None]:
    """Yield an error if a folder, named by a setting, is not writable or its disk is full.

    Return the number of free bytes, or None after an error. If the folder does not exist,
    its nearest existing parent is checked.
    """
    existing = path
    while not os.path.lexists(existing):
        existing = os.path.dirname(os.path.abspath(existing))
    if not os.path.isdir(existing) or not os.access(existing, os.W_OK | os.X_OK):
        hint = f"allow the service to write there, or set another folder: {setting}"
        yield Error(f"{path} cannot be written to", hint, f"{context.name}.E104")
        return None
    free = shutil.disk_usage(existing).free
    if free < LOW_DISK_BYTES:
        message = f"only {free:,} bytes are free on the disk of {path}"
        yield Error(message, "free some disk space", f"{context.name}.E105")
        return None
    return free
