"""Checks of the settings."""

import os
import re
import traceback
from contextlib import suppress
from io import StringIO

import default_config
from dotenv.parser import parse_stream
from flask import Flask, current_app

from ....core.settings import (
    DEFAULTS,
    PLAIN,
    PREFIX,
    SHORTEST_SECRET,
    SettingError,
    environment,
    from_environment,
    from_file,
    meant,
    mistaken,
    require_secrets,
)
from ....version import __version__
from ..report import advice, wrong
from .common import NGINX, ROOT, SECRETS, in_production, quoted

LONGEST_TTL = 24 * 60  # minutes
FEW_LETTERS = 10  # different ones in a secret that nobody drew by lot
DRAW = 'python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
# What libraries take, and default_config.py does not name.
THEIRS = set(Flask.default_config) | {
    f"SQLALCHEMY_{name}"
    for name in ("BINDS", "ECHO", "ENGINE_OPTIONS", "RECORD_QUERIES")
}


# The settings
def settings(config):
    """Whether they can be taken, and which nobody heeds."""
    _, error = current_app.extensions["doctor"]
    if error:
        yield from faults(config, error)
        return
    in_file = from_file(current_app.instance_path)
    for name in sorted(in_file.keys() - DEFAULTS.keys() - THEIRS):
        near = meant(name, DEFAULTS.keys() | THEIRS)
        told = f"instance/config.py has {name}, and there is no such setting"
        yield advice(told, f"{near}, perhaps" if near else "take it out")
    for name in sorted((DEFAULTS.keys() - PLAIN.keys()) & os.environ.keys()):
        if PREFIX + name not in os.environ:
            told = f"{name} in the environment, or in .env, goes unheard"
            yield advice(told, f"{PREFIX}{name}")
    if in_production(config) and current_app.debug:
        yield wrong("the debugger is on", "unset FLASK_DEBUG")
    here = {name for name in os.environ if name.startswith(PREFIX) or name in PLAIN}
    told = ", ".join(sorted(here | in_file.keys())) or "nothing"
    return f"{config['CONFIG_NAME']}, release {__version__}; set here: {told}"


def faults(config, error):
    """All that is wrong with the settings, of which `error` was the first."""
    if isinstance(error, OSError):
        mend = "give it to the account that runs this, or name another: INSTANCE_PATH"
        at = error.filename
        yield wrong(f"{at}: {error.strerror}" if at else quoted(error), mend)
        return
    if not isinstance(error, SettingError):  # its words may hold a secret
        told = f"they end with {type(error).__name__} in {place_of(error)}"
        yield wrong(told, "mend instance/config.py")
        return
    found = {}  # in order, each once
    with suppress(Exception, SettingError):  # of what is no file, `error` tells
        found |= dict.fromkeys(mistaken(from_file(config.root_path)))
    if environment() in default_config.CONFIGS:
        for key, value in os.environ.items():
            try:
                config.update(from_environment(config, {key: value}))
            except SettingError as fault:
                found[str(fault)] = None
        for name in SECRETS if in_production(config) else ():
            good = dict.fromkeys(SECRETS, "-" * SHORTEST_SECRET)
            try:
                require_secrets(good | {name: config[name]})
            except SettingError as fault:
                found[str(fault)] = None
    for words in found | {str(error): None}:
        told, _, mend = words.removesuffix(".").partition(". ")
        yield wrong(told, mend or "default_config.py says what it may be")


def dotenv(_config):
    """Whether each line of .env can be read, and is heard."""
    file = ROOT / ".env"
    if not file.is_file():
        return
    try:
        lines = list(parse_stream(StringIO(file.read_text("utf-8"))))
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        told = f"line {number} of {file} is no UTF-8: commands end there"
        yield wrong(told, "write it anew, or take it out")
        return
    for line in lines:
        whole = line.original.string  # it begins with the empty lines before
        blank = whole[: len(whole) - len(whole.lstrip())].count("\n")
        at = f"line {line.original.line + blank} of {file}"
        if line.error or line.key and line.value is None:
            yield wrong(f"{at} has no name and value", "write it as NAME=value")
        elif name := of_another(line.key or ""):
            told = f"{line.key} goes unheard, in {at}"
            yield advice(told, f"{PREFIX}{name}, if it is meant for us")
    return f"{sum(bool(line.key) for line in lines)} lines in {file}, each can be read"


def of_another(key):
    """The setting that a variable may have set while we had another prefix, or None."""
    names = (
        name for name in DEFAULTS.keys() - PLAIN.keys() if key.endswith(f"_{name}")
    )
    return None if key.startswith(PREFIX) else max(names, key=len, default=None)


def place_of(error):
    """The file and the line where an error came up."""
    if isinstance(error, SyntaxError):
        file, line = error.filename, error.lineno
    else:
        *_, last = traceback.extract_tb(error.__traceback__)
        file, line = last.filename, last.lineno
    return f"{os.path.basename(file)}, line {line}"


def secrets(config):
    """Whether what is to be secret is."""
    if not in_production(config):
        return "development's, known to everybody; production takes none of them"
    if config["SECRET_KEY"] == config["JWT_SECRET_KEY"]:
        told = "SECRET_KEY and JWT_SECRET_KEY are the same"
        yield wrong(told, drawn("JWT_SECRET_KEY"))
    for name in SECRETS:
        if len(set(config[name])) < FEW_LETTERS:
            yield advice(f"{name} has hardly any different letters", drawn(name))
    if any(len(k.encode()) < SHORTEST_SECRET for k in config["JWT_FORMER_SECRET_KEYS"]):
        told = f"one of JWT_FORMER_SECRET_KEYS has less than {SHORTEST_SECRET} bytes"
        yield wrong(told, "take it out: whoever guesses it makes tokens")
    known = default_config.DevelopmentConfig
    for name in ("AUTH_PASSWORD1", "AUTH_PASSWORD2"):
        if config[name] in (known.AUTH_PASSWORD1, known.AUTH_PASSWORD2):
            yield wrong(f"{name} is one that everybody knows", f"unset {PREFIX}{name}")
    return "long enough, and different"


def drawn(name):
    """How a secret comes to be a good one."""
    return f"set {PREFIX}{name} to what this prints: {DRAW}"


def limits(config):
    """Values that fight each other, or those of uWSGI and nginx."""
    body, file = config["MAX_CONTENT_LENGTH"], config["MAX_IMPORT_BYTES"]
    uwsgi = int(re.search(r"\nlimit-post = (\d+)", (ROOT / "myapp.ini").read_text())[1])
    sizes = re.findall(r"client_max_body_size (\d+)m", (ROOT / NGINX).read_text())
    for name, size, nginx in zip(
        ("MAX_CONTENT_LENGTH", "MAX_IMPORT_BYTES"), (body, file), map(int, sizes)
    ):
        told = f"{name} is {size:,} bytes, of which"
        if size > uwsgi:
            yield wrong(f"{told} uWSGI takes {uwsgi:,}", "limit-post in myapp.ini")
        elif size > nginx * 2**20:
            yield advice(
                f"{told} nginx takes {nginx} MiB", f"{NGINX}; then deploy/setup"
            )
        if not size:
            yield wrong(f"{name} 0 takes no body at all", f"unset {PREFIX}{name}")
    for name, why in (
        ("JWT_TTL", "a token is over when it comes"),
        ("PRESENCE_TTL", "no heartbeat can be taken"),
    ):
        if not config[name]:
            mend = f"{PREFIX}{name}={getattr(default_config.Config, name)}"
            yield wrong(f"{name} 0: {why}", mend)
    if config["JWT_TTL"] > LONGEST_TTL:
        told = f"a token that is stolen is good for {config['JWT_TTL']:,} minutes"
        yield advice(told, f"{PREFIX}JWT_TTL=15; refresh tokens last for the rest")
    if config["SQLALCHEMY_REPLICA_URIS"] and config["REPLICA_MAX_LAG"] < 3:
        told = "REPLICA_MAX_LAG is below 3 seconds: no replica is ever fresh enough"
        yield wrong(told, f"{PREFIX}REPLICA_MAX_LAG=5")
    if in_production(config):
        yield from strangers(config)
    return "none fights another"


def strangers(config):
    """What lets in more than production wants."""
    if not config["USE_RATE_LIMITS"]:
        yield advice("calls are not counted", f"{PREFIX}USE_RATE_LIMITS=true")
    if "*" in config["CORS_ORIGINS"]:
        told = "CORS_ORIGINS is *: any page may call from a browser"
        yield advice(told, f"{PREFIX}CORS_ORIGINS=https://app.example.com")
    # Behind uwsgi_pass 0 is right; a host that says which PORT is ours speaks HTTP.
    if os.environ.get("PORT") and not config["TRUSTED_PROXIES"]:
        told = "TRUSTED_PROXIES is 0: behind a proxy, all callers have its address"
        yield advice(told, f"{PREFIX}TRUSTED_PROXIES=1")
