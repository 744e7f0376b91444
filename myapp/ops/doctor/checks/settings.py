"""Checks of the settings."""

import os
import traceback
from contextlib import suppress
from io import StringIO
from pathlib import Path

from dotenv.parser import parse_stream
from flask import Flask, current_app

import default_config

from ....core.observability.checks import (
    check,
    check_body_limit,
    error,
    error_in_production,
    is_production,
    project_folder,
    warning,
)
from ....core.settings import (
    DEFAULTS,
    MIN_SECRET_BYTES,
    PREFIX,
    UNPREFIXED_VARIABLES,
    SettingError,
    closest_name,
    config_file_errors,
    configuration_name,
    read_config_file,
    read_environment,
    require_secrets,
)
from ....version import __version__
from .common import SECRETS, redacted_message

LONG_TTL_MINUTES = 24 * 60
MIN_DISTINCT_LETTERS = 10  # fewer different ones, and a secret is hardly random
SECRET_COMMAND = 'python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
TYPE_HINT = "see its default in default_config.py, or in the settings.py of a feature"
# The settings of libraries without a default here.
LIBRARY_SETTINGS = set(Flask.default_config) | {
    f"SQLALCHEMY_{name}"
    for name in ("BINDS", "ECHO", "ENGINE_OPTIONS", "RECORD_QUERIES")
}


@check(after=None)
def settings(config):
    """Check that the settings can be used, and that none is ignored.

    Return None if they cannot be used: then no check that needs them runs.
    """
    _, exception = current_app.extensions["doctor"]
    if exception:
        yield from setting_errors(config, exception)
        return
    in_file = read_config_file(current_app.instance_path)
    for name in sorted(in_file.keys() - DEFAULTS.keys() - LIBRARY_SETTINGS):
        near = closest_name(name, DEFAULTS.keys() | LIBRARY_SETTINGS)
        message = f"instance/config.py has {name}, and there is no such setting"
        yield warning(message, f"{near}, perhaps" if near else "take it out")
    for name in sorted(
        (DEFAULTS.keys() - UNPREFIXED_VARIABLES.keys()) & os.environ.keys()
    ):
        if PREFIX + name not in os.environ:
            message = f"{name} in the environment or in .env is ignored"
            yield warning(message, f"{PREFIX}{name}")
    if is_production(config) and current_app.debug:
        yield error("the debugger is on", "unset FLASK_DEBUG")
    here = {
        name
        for name in os.environ
        if name.startswith(PREFIX) or name in UNPREFIXED_VARIABLES
    }
    names = ", ".join(sorted(here | in_file.keys())) or "nothing"
    return f"{config['CONFIG_NAME']}, release {__version__}; set here: {names}"


def setting_errors(config, exception):
    """Yield all that is wrong with the settings; `exception` is the first of it."""
    if isinstance(exception, OSError):
        hint = "make it readable for this account, or set INSTANCE_PATH"
        at = exception.filename
        yield error(
            f"{at}: {exception.strerror}" if at else redacted_message(exception), hint
        )
        return
    if not isinstance(exception, SettingError):  # its message may hold a secret
        message = (
            f"they fail with {type(exception).__name__} in {error_location(exception)}"
        )
        yield error(message, "correct instance/config.py")
        return
    messages = {}  # in order, each once
    # `exception` says it, if there is no such file
    with suppress(Exception, SettingError):
        messages |= dict.fromkeys(
            config_file_errors(read_config_file(config.root_path))
        )
    if configuration_name() in default_config.CONFIGS:
        for key, value in os.environ.items():
            try:
                config.update(read_environment(config, {key: value}))
            except SettingError as fault:
                messages[str(fault)] = None
        for name in SECRETS if is_production(config) else ():
            good = dict.fromkeys(SECRETS, "-" * MIN_SECRET_BYTES)
            try:
                require_secrets(good | {name: config[name]})
            except SettingError as fault:
                messages[str(fault)] = None
    for words in messages | {str(exception): None}:
        message, _, hint = words.removesuffix(".").partition(". ")
        yield error(message, hint or TYPE_HINT)


@check(after=None)
def dotenv(_config):
    """Check that each line of .env can be read, and sets something."""
    file = project_folder() / ".env"
    if not file.is_file():
        return
    try:
        lines = list(parse_stream(StringIO(file.read_text("utf-8"))))
    except UnicodeDecodeError as exception:
        number = exception.object.count(b"\n", 0, exception.start) + 1
        message = f"line {number} of {file} is not UTF-8, so commands fail"
        yield error(message, "rewrite or remove it")
        return
    for line in lines:
        whole = line.original.string  # it begins with the empty lines above it
        blank = whole[: len(whole) - len(whole.lstrip())].count("\n")
        at = f"line {line.original.line + blank} of {file}"
        if line.error or line.key and line.value is None:
            yield error(f"{at} has no name and value", "write it as NAME=value")
        elif name := misnamed_setting(line.key or ""):
            message = f"{line.key} is ignored, in {at}"
            yield warning(message, f"{PREFIX}{name}, if it is meant for this service")
    return f"{sum(bool(line.key) for line in lines)} valid lines in {file}"


def misnamed_setting(key):
    """Return the setting that a variable with another prefix may mean, or None."""
    names = (
        name
        for name in DEFAULTS.keys() - UNPREFIXED_VARIABLES.keys()
        if key.endswith(f"_{name}")
    )
    return None if key.startswith(PREFIX) else max(names, key=len, default=None)


def error_location(error):
    """Return the file and the line where an error was raised."""
    if isinstance(error, SyntaxError):
        file, line = error.filename, error.lineno
    else:
        *_, last = traceback.extract_tb(error.__traceback__)
        file, line = last.filename, last.lineno
    return f"{os.path.basename(file)}, line {line}"


@check(after=None)
def readers(config):
    """Check who may read the files that hold secrets."""
    files = (project_folder() / ".env", Path(current_app.instance_path) / "config.py")
    there = [file for file in files if file.exists()]
    for file in there:
        if file.stat().st_mode & 0o004:
            message = f"every account of this machine can read {file}"
            yield error_in_production(config, message, f"chmod o-rwx {file}")
    names = " and ".join(file.name for file in there)
    return f"{names}: private" if there else "no .env, no instance/config.py"


@check()
def secrets(config):
    """Check that production has good secrets of its own."""
    if not is_production(config):
        return "those of development, which are public; production refuses them"
    if config["SECRET_KEY"] == config["JWT_SECRET_KEY"]:
        message = "SECRET_KEY and JWT_SECRET_KEY are the same"
        yield error(message, secret_hint("JWT_SECRET_KEY"))
    for name in SECRETS:
        if len(set(config[name])) < MIN_DISTINCT_LETTERS:
            yield warning(f"{name} has hardly any different letters", secret_hint(name))
    if any(
        len(k.encode()) < MIN_SECRET_BYTES for k in config["JWT_FORMER_SECRET_KEYS"]
    ):
        message = (
            f"one of JWT_FORMER_SECRET_KEYS has less than {MIN_SECRET_BYTES} bytes"
        )
        yield error(
            message, "remove it: with a guessed secret, anyone can issue tokens"
        )
    known = default_config.DevelopmentConfig
    for name in ("AUTH_PASSWORD1", "AUTH_PASSWORD2"):
        if config[name] in (known.AUTH_PASSWORD1, known.AUTH_PASSWORD2):
            yield error(f"{name} is a public demo password", f"unset {PREFIX}{name}")
    return "long enough, and different"


def secret_hint(name):
    """Return how to set a good secret."""
    return f"set {PREFIX}{name} to what this prints: {SECRET_COMMAND}"


@check()
def limits(config):
    """Check values that contradict each other, or the servers in front."""
    yield from check_body_limit(config, "MAX_CONTENT_LENGTH", "deploy/nginx.conf")
    if not config["JWT_TTL"]:
        hint = f"{PREFIX}JWT_TTL={default_config.Config.JWT_TTL}"
        yield error("JWT_TTL is 0, so that each token expires at once", hint)
    if config["JWT_TTL"] > LONG_TTL_MINUTES:
        message = f"a stolen token is valid for {config['JWT_TTL']:,} minutes"
        yield warning(message, f"{PREFIX}JWT_TTL=15; refresh tokens last for the rest")
    if config["SQLALCHEMY_REPLICA_URIS"] and config["REPLICA_MAX_LAG"] < 3:
        message = "REPLICA_MAX_LAG is below 3 seconds: no replica is ever fresh enough"
        yield error(message, f"{PREFIX}REPLICA_MAX_LAG=5")
    if is_production(config):
        yield from check_exposure(config)
    return "no contradictions"


def check_exposure(config):
    """Check settings that let in more than production should."""
    if not config["USE_RATE_LIMITS"]:
        yield warning("requests are not limited", f"{PREFIX}USE_RATE_LIMITS=true")
    if "*" in config["CORS_ORIGINS"]:
        message = "CORS_ORIGINS is *: any web page can call the service"
        yield warning(message, f"{PREFIX}CORS_ORIGINS=https://app.example.com")
    # Behind uwsgi_pass, 0 is right; a host that sets PORT speaks HTTP to us.
    if os.environ.get("PORT") and not config["TRUSTED_PROXIES"]:
        message = "TRUSTED_PROXIES is 0: behind a proxy, all callers have its address"
        yield warning(message, f"{PREFIX}TRUSTED_PROXIES=1")
