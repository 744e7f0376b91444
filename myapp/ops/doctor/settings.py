"""Checks of the settings and the secrets."""

import os
import traceback
from contextlib import suppress
from io import StringIO
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dotenv.parser import parse_stream
from flask import Flask, current_app

from default_config import CONFIGS, Config, DevelopmentConfig

from ...core import settings
from ...core.observability.checks import (
    Error,
    Ok,
    Warning,
    check,
    check_body_limit,
    project_folder,
)
from ...core.settings import DEFAULTS, MIN_SECRET_BYTES, PREFIX, SettingError
from ...version import __version__
from ..databases import error_message

LONG_TTL_MINUTES = 24 * 60
MIN_DISTINCT_LETTERS = 10  # fewer different ones, and a secret is hardly random
SECRETS = "SECRET_KEY", "JWT_SECRET_KEY"
PASSWORDS = "AUTH_PASSWORD1", "AUTH_PASSWORD2"
PLAIN_NAMES = settings.UNPREFIXED_VARIABLES.keys()
SECRET_COMMAND = 'python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
TYPE_HINT = "see its default in default_config.py, or in the settings.py of a feature"
# The settings of libraries without a default here.
LIBRARY_SETTINGS = set(Flask.default_config) | {
    f"SQLALCHEMY_{name}"
    for name in ("BINDS", "ECHO", "ENGINE_OPTIONS", "RECORD_QUERIES")
}


def redacted_message(error):
    """Return the message of a library's error on one line, without our secrets."""
    config = current_app.config  # which may be incomplete
    secrets = {config.get(name) for name in SECRETS + PASSWORDS}
    secrets.update(config.get("JWT_FORMER_SECRET_KEYS", ()))
    urls = map(config.get, ("SQLALCHEMY_DATABASE_URI", "REDIS_URL", "BROKER_URL"))
    for url in (*urls, *config.get("SQLALCHEMY_REPLICA_URIS", ())):
        password = urlsplit(url or "").netloc.rpartition("@")[0].partition(":")[2]
        secrets |= {password, unquote(password)}
    words = " ".join(error_message(error).split())
    for secret in sorted(secrets - {None, ""}, key=len, reverse=True):
        words = words.replace(secret, "***")
    return words


@check("settings", after=None)
def check_settings(context):
    """Check that the settings can be used, and that none is ignored."""
    if context.settings_error:
        yield from setting_errors(context, context.settings_error)
        return
    known = DEFAULTS.keys() | LIBRARY_SETTINGS
    in_file = settings.read_config_file(current_app.instance_path)
    for name in sorted(in_file.keys() - known):
        near = settings.closest_name(name, known)
        hint = f"{near}, perhaps" if near else "take it out"
        message = f"instance/config.py has {name}, and there is no such setting"
        yield Warning(message, hint, "settings.W004")
    for name in sorted((DEFAULTS.keys() - PLAIN_NAMES) & os.environ.keys()):
        if PREFIX + name not in os.environ:
            message = f"{name} in the environment or in .env is ignored"
            yield Warning(message, f"{PREFIX}{name}", "settings.W005")
    if context.deploy and current_app.debug:
        yield Error("the debugger is on", "unset FLASK_DEBUG", "settings.E006")
    names = {name for name in os.environ if name.startswith(PREFIX)} | in_file.keys()
    names = ", ".join(sorted(names | (PLAIN_NAMES & os.environ.keys()))) or "nothing"
    environment = context.config["CONFIG_NAME"]
    yield Ok(f"{environment}, release {__version__}; set here: {names}")


def setting_errors(context, exception):
    """Yield all errors in the settings; `exception` is the first one."""
    if isinstance(exception, OSError):
        message = redacted_message(exception)
        if exception.filename:
            message = f"{exception.filename}: {exception.strerror}"
        hint = "make it readable for this account, or set INSTANCE_PATH"
        yield Error(message, hint, "settings.E001")
    elif not isinstance(exception, SettingError):  # its message may hold a secret
        *_, last = traceback.extract_tb(exception.__traceback__)
        file, line = last.filename, last.lineno
        if isinstance(exception, SyntaxError):
            file, line = exception.filename, exception.lineno
        where = f"{os.path.basename(file)}, line {line}"
        message = f"they fail with {type(exception).__name__} in {where}"
        yield Error(message, "correct instance/config.py", "settings.E002")
    else:
        for words in dict.fromkeys([*setting_messages(context), str(exception)]):
            yield setting_error(words, "settings.E003")


def setting_messages(context):
    """Yield the message of each setting that is invalid by itself."""
    config = context.config
    with suppress(Exception, SettingError):  # the caller knows it
        in_file = settings.read_config_file(config.root_path)
        yield from settings.config_file_errors(in_file)
    if settings.configuration_name() in CONFIGS:
        for key, value in os.environ.items():
            try:
                config.update(settings.read_environment(config, {key: value}))
            except SettingError as error:
                yield str(error)
        if context.deploy:
            yield from secret_messages(config)


def secret_messages(config):
    """Yield the message of each secret that production refuses."""
    valid = dict.fromkeys(SECRETS, "-" * MIN_SECRET_BYTES)
    for name in SECRETS:
        try:
            settings.require_secrets(valid | {name: config[name]})
        except SettingError as error:
            yield str(error)


def setting_error(words, id):
    """Return an Error for the message of a SettingError; its hint follows ". "."""
    message, _, hint = words.removesuffix(".").partition(". ")
    return Error(message, hint or TYPE_HINT, id)


@check("dotenv", after=None)
def check_dotenv(_context):
    """Check that each line of .env can be read, and sets something."""
    file = project_folder() / ".env"
    if not file.is_file():
        return
    try:
        lines = list(parse_stream(StringIO(file.read_text("utf-8"))))
    except UnicodeDecodeError as exception:
        number = exception.object.count(b"\n", 0, exception.start) + 1
        message = f"line {number} of {file} is not UTF-8, so commands fail"
        yield Error(message, "rewrite or remove it", "dotenv.E001")
        return
    for line in lines:
        whole = line.original.string  # it begins with the empty lines above it
        blank = whole[: len(whole) - len(whole.lstrip())].count("\n")
        at, key = f"line {line.original.line + blank} of {file}", line.key or ""
        names = DEFAULTS.keys() - PLAIN_NAMES
        suffixes = [name for name in names if key.endswith(f"_{name}")]
        if line.error or key and line.value is None:
            message = f"{at} has no name and value"
            yield Error(message, "write it as NAME=value", "dotenv.E002")
        elif suffixes and not key.startswith(PREFIX):
            hint = f"{PREFIX}{max(suffixes, key=len)}, if it is meant for this service"
            yield Warning(f"{key} is ignored, in {at}", hint, "dotenv.W003")
    yield Ok(f"{sum(bool(line.key) for line in lines)} valid lines in {file}")


@check("readers", after=None)
def check_readers(context):
    """Check who may read the files that hold secrets."""
    files = project_folder() / ".env", Path(current_app.instance_path) / "config.py"
    files = [file for file in files if file.exists()]
    for file in files:
        if file.stat().st_mode & 0o004:
            message = f"every account of this machine can read {file}"
            hint = f"chmod o-rwx {file}"
            yield context.error_on_deploy(message, hint, "readers.E001")
    names = " and ".join(file.name for file in files)
    yield Ok(f"{names}: private" if names else "no .env, no instance/config.py")


@check("secrets")
def check_secrets(context):
    """Check that production has good secrets of its own."""
    config = context.config
    if not context.deploy:
        yield Ok("those of development, which are public; production refuses them")
        return
    for words in secret_messages(config):
        yield setting_error(words, "secrets.E001")
    hint = f"set {PREFIX}{{}} to what this prints: {SECRET_COMMAND}"
    if config["SECRET_KEY"] == config["JWT_SECRET_KEY"]:
        message = "SECRET_KEY and JWT_SECRET_KEY are the same"
        yield Error(message, hint.format("JWT_SECRET_KEY"), "secrets.E002")
    for name in SECRETS:
        if len(set(config[name] or "")) < MIN_DISTINCT_LETTERS:
            message = f"{name} has hardly any different letters"
            yield Warning(message, hint.format(name), "secrets.W003")
    sizes = [len(key.encode()) for key in config["JWT_FORMER_SECRET_KEYS"]]
    if sizes and min(sizes) < MIN_SECRET_BYTES:
        name = "JWT_FORMER_SECRET_KEYS"
        message = f"one of {name} has less than {MIN_SECRET_BYTES} bytes"
        hint = "remove it: with a guessed secret, anyone can issue tokens"
        yield Error(message, hint, "secrets.E004")
    for name in PASSWORDS:
        if config[name] in map(vars(DevelopmentConfig).get, PASSWORDS):
            message = f"{name} is a public demo password"
            yield Error(message, f"unset {PREFIX}{name}", "secrets.E005")
    yield Ok("long enough, and different")


@check("limits")
def check_limits(context):
    """Check values that contradict each other, or the servers in front."""
    config = context.config
    yield from check_body_limit(context, "MAX_CONTENT_LENGTH", "deploy/nginx.conf")
    if not config["JWT_TTL"]:
        message = "JWT_TTL is 0, so that each token expires at once"
        yield Error(message, f"{PREFIX}JWT_TTL={Config.JWT_TTL}", "limits.E001")
    if config["JWT_TTL"] > LONG_TTL_MINUTES:
        message = f"a stolen token is valid for {config['JWT_TTL']:,} minutes"
        hint = f"{PREFIX}JWT_TTL=15; refresh tokens last for the rest"
        yield Warning(message, hint, "limits.W002")
    if config["SQLALCHEMY_REPLICA_URIS"] and config["REPLICA_MAX_LAG"] < 3:
        message = "REPLICA_MAX_LAG is below 3 seconds: no replica is ever fresh enough"
        yield Error(message, f"{PREFIX}REPLICA_MAX_LAG=5", "limits.E003")
    yield Ok("no contradictions")


@check("exposure", deploy=True)
def check_exposure(context):
    """Check settings that let in more than production should."""
    config = context.config
    if not config["USE_RATE_LIMITS"]:
        hint = f"{PREFIX}USE_RATE_LIMITS=true"
        yield Warning("requests are not limited", hint, "exposure.W001")
    if "*" in config["CORS_ORIGINS"]:
        message = "CORS_ORIGINS is *: any web page can call the service"
        hint = f"{PREFIX}CORS_ORIGINS=https://app.example.com"
        yield Warning(message, hint, "exposure.W002")
    # Behind uwsgi_pass, 0 is right; a host that sets PORT speaks HTTP to us.
    if os.environ.get("PORT") and not config["TRUSTED_PROXIES"]:
        message = "TRUSTED_PROXIES is 0: behind a proxy, all callers have its address"
        yield Warning(message, f"{PREFIX}TRUSTED_PROXIES=1", "exposure.W003")
    yield Ok("no more than production needs")
