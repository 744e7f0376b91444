"""Settings: a class of default_config, then instance/config.py, then the environment."""

import json
import os
import re
from difflib import get_close_matches

import default_config
from flask import Config
from limits import parse as parse_rate
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from .data.dialects import OPTIONS
from .data.embedded_redis import embedded_redis_url
from .data.redis import CLUSTER, Client, broker

PREFIX = "MYAPP_"
PLAIN = {
    "DATABASE_URL": "SQLALCHEMY_DATABASE_URI",
    "REDIS_URL": "REDIS_URL",
    "PORT": "PORT",
}
PLAINLY = {name: plain for plain, name in PLAIN.items()}
# The default of every setting: those of default_config.Config, and, after `declare`, those
# of the features.
DEFAULTS = {
    name: value for name, value in vars(default_config.Config).items() if name.isupper()
}
# What has a form of its own, for whoever has missed it.
EXAMPLES = {
    "SQLALCHEMY_DATABASE_URI": "postgresql://user:password@host/name",
    "SQLALCHEMY_REPLICA_URIS": "postgresql://user:password@host/name, with commas between",
    "REDIS_URL": "redis://host:6379/0",
    "BROKER_URL": "redis://host:6379/1",
    "RATE_LIMIT": "5 per 15 seconds",
}
LAST_PORT = 65535
# Nothing that flask-cors would take for a pattern; it lets in more than was meant.
ORIGIN = re.compile(r"\*|https?://[A-Za-z0-9._:-]+", re.ASCII)
SHORTEST_SECRET = 32  # bytes; RFC 7518 §3.2 asks as much of a key for HS256
TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}


class SettingError(SystemExit):
    """A setting is missing or makes no sense; the message says which, and what to do.

    Where nobody catches it, the process ends with that line, and without a trace.
    """


def environment():
    """Which one nobody has named in code. A server that was told nothing is in production:
    development's secrets are known to everybody."""
    by_command = "FLASK_RUN_FROM_CLI" in os.environ  # Flask sets it
    default = "development" if by_command else "production"
    return os.environ.get("FLASK_CONFIG") or default


def declare(features):
    """Add the defaults in each feature's settings.py to DEFAULTS."""
    for feature in features:
        module = feature.module("settings")
        for name in dir(module):
            if name.isupper():
                DEFAULTS[name] = getattr(module, name)


def load(app, name, overrides):
    """Fill `app.config`.

    `name`: development, testing or production. Testing reads nothing of this machine's
    own. `overrides` go last. Raises SettingError.
    """
    if name not in default_config.CONFIGS:
        known = ", ".join(default_config.CONFIGS)
        raise SettingError(f"FLASK_CONFIG is {name!r}; it must be one of: {known}.")
    app.config.update(DEFAULTS)
    app.config.from_object(default_config.CONFIGS[name])
    if name != "testing":
        require_absolute(os.environ.get("INSTANCE_PATH"))
        in_file = from_file(app.config.root_path)
        for words in mistaken(in_file):
            raise SettingError(words)
        app.config.update(in_file)
        app.config.update(from_environment(app.config, os.environ))
    app.config.update(overrides, CONFIG_NAME=name)
    if name == "production":
        require_secrets(app.config)
    complete(app)


def require_absolute(folder):
    """Processes start in different folders, and must find the same one."""
    if folder and not os.path.isabs(folder):
        raise SettingError(
            f"INSTANCE_PATH is {folder!r}. Write all of it: {os.path.abspath(folder)}"
        )


def from_file(folder):
    """The settings of the `config.py` in a folder; none, where there is no such file."""
    path, found = os.path.join(folder, "config.py"), Config(folder)
    if os.path.isdir(path):  # Flask would take it for none
        raise SettingError(f"{path} is a folder. It is to be a file: move it away.")
    found.from_pyfile(path, silent=True)
    return found


def mistaken(in_file):
    """What is wrong with the values of config.py: each must have its default's type. A
    value is not shown, since it may be a secret."""
    for name in sorted(in_file.keys() & DEFAULTS.keys()):
        value, default = in_file[name], DEFAULTS[name]
        if isinstance(default, bool):
            kind, fits = "True or False", isinstance(value, bool)
        elif isinstance(default, int):
            kind, fits = "a whole number, 0 or more", type(value) is int and value >= 0
        elif isinstance(default, list):
            kind = "a list of texts"
            fits = isinstance(value, list | tuple) and all(
                isinstance(part, str) for part in value
            )
        else:
            kind, fits = "a text", isinstance(value, str) or value is default
        if not fits:
            yield f"{name} in instance/config.py must be {kind}."


def variable(name):
    """The variable of the environment that is heard, where a setting is to be set."""
    own = PREFIX + name
    return own if own in os.environ else PLAINLY.get(name, own)


def as_set(config, name):
    """What a setting is called where it was set: a variable, or else its own name."""
    there = config["CONFIG_NAME"] != "testing" and variable(name) in os.environ
    return variable(name) if there else name


def from_environment(config, environ):
    """The settings found in `environ`, each as the type that its default has."""
    found = {}
    for plain, name in PLAIN.items():
        if environ.get(plain):
            found[name] = typed(plain, environ[plain], config[name])
    for key, text in environ.items():
        if key.startswith(PREFIX):
            name = key.removeprefix(PREFIX)
            if name not in config:
                near = meant(name, config)
                hint = f" Did you mean {PREFIX}{near}?" if near else ""
                raise SettingError(
                    f"{key} is set, but there is no setting {name}.{hint}"
                )
            found[name] = typed(key, text, config[name])
    return found


def meant(name, known):
    """Which of the known names somebody may have meant, or None."""
    names = [known_name for known_name in known if known_name.isupper()]
    return next(iter(get_close_matches(name.upper(), names, 1, 0.75)), None)


def typed(key, text, default):
    """`text` as the type of `default`: bool, int, list (in JSON, or with commas between),
    else str."""
    if isinstance(default, bool):
        if text.lower() not in TRUE | FALSE:
            raise SettingError(f"{key} is {text!r}; it must be true or false.")
        return text.lower() in TRUE
    if isinstance(default, int):
        if not text.isdecimal():
            raise SettingError(
                f"{key} is {text!r}; it must be a whole number, 0 or more."
            )
        return int(text)
    if isinstance(default, list) and text.lstrip().startswith("["):
        try:
            parts = json.loads(text)
        except ValueError:
            parts = None
        if not parts or not all(type(part) is str for part in parts):
            raise SettingError(
                f"{key} begins like a list in JSON; it must be one of texts."
            )
        return parts
    if isinstance(default, list):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def require_secrets(config):
    """Production starts with secrets of its own, long enough, or not at all."""
    known = vars(default_config.DevelopmentConfig).values()
    for name in ("SECRET_KEY", "JWT_SECRET_KEY"):
        secret = config[name] or ""
        if len(secret.encode()) < SHORTEST_SECRET or secret in known:
            raise SettingError(
                f"{name} must be a secret of at least {SHORTEST_SECRET} bytes, your own. "
                "Make one with: "
                'python3 -c "import secrets; print(secrets.token_urlsafe(48))" '
                f"and set it as {PREFIX}{name} in the environment or in .env."
            )


def complete(app):
    """Settle what depends on the instance folder, and check what has a form."""
    config = app.config
    config["REDIS_EMBEDDED"] = not config["REDIS_URL"]
    if config["REDIS_EMBEDDED"]:
        config["REDIS_URL"] = embedded_redis_url(app.instance_path)
    config["SQLALCHEMY_DATABASE_URI"] = database_uri(
        config["SQLALCHEMY_DATABASE_URI"]
        or "sqlite:///" + os.path.join(app.instance_path, "myapp.sqlite3")
    )
    if config["REDIS_URL"].startswith(CLUSTER) and not config["BROKER_URL"]:
        raise SettingError(
            "REDIS_URL names a Cluster, which cannot carry tasks to the workers: "
            f"{variable('BROKER_URL')} must name a Redis beside it that can."
        )
    config["BROKER_URL"] = config["BROKER_URL"] or config["REDIS_URL"]
    replicas = list(map(database_uri, config["SQLALCHEMY_REPLICA_URIS"]))
    config["SQLALCHEMY_REPLICA_URIS"] = replicas
    for name, parse in (
        ("SQLALCHEMY_DATABASE_URI", make_url),
        ("SQLALCHEMY_REPLICA_URIS", lambda uris: list(map(make_url, uris))),
        ("REDIS_URL", Client.from_url),
        ("BROKER_URL", lambda url: Client.from_url(url) and broker(url)),
        ("RATE_LIMIT", parse_rate),
    ):
        try:
            parse(config[name])
        except (ArgumentError, ValueError):  # without the address: it holds a password
            raise SettingError(
                f"{as_set(config, name)} makes no sense. Write it as {EXAMPLES[name]}"
            ) from None
    if make_url(config["SQLALCHEMY_DATABASE_URI"]).get_backend_name() not in OPTIONS:
        known, named = ", ".join(OPTIONS), as_set(config, "SQLALCHEMY_DATABASE_URI")
        raise SettingError(f"{named} must be one of: {known}.")
    if config["PORT"] > LAST_PORT:
        named = as_set(config, "PORT")
        raise SettingError(
            f"{named} is {config['PORT']}. A port is at most {LAST_PORT}."
        )
    for origin in config["CORS_ORIGINS"]:
        if not ORIGIN.fullmatch(origin):
            raise SettingError(
                f"{as_set(config, 'CORS_ORIGINS')} has {origin!r}; "
                "it takes https://app.example.com, or *."
            )
    for uri in replicas and [config["SQLALCHEMY_DATABASE_URI"], *replicas]:
        if make_url(uri).get_backend_name() != "postgresql":
            named = as_set(config, "SQLALCHEMY_REPLICA_URIS")
            raise SettingError(f"{named} works with PostgreSQL alone.")
    prefix = config["API_PREFIX"].rstrip("/")
    if prefix and not prefix.startswith("/"):
        named = as_set(config, "API_PREFIX")
        raise SettingError(f"{named} is {prefix!r}; it must begin with a slash.")
    config["API_PREFIX"] = prefix
    config["RESTX_ERROR_404_HELP"] = False
    config["RESTX_MASK_HEADER"] = ""


def database_uri(uri):
    """`uri` with the driver we use named, whatever short form a host hands out."""
    for short, driver in (
        ("postgres://", "postgresql+psycopg://"),
        ("postgresql://", "postgresql+psycopg://"),
        ("mysql://", "mysql+pymysql://"),
        ("mariadb://", "mariadb+pymysql://"),
    ):
        if uri.startswith(short):
            return driver + uri.removeprefix(short)
    return uri
