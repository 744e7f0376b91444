"""Settings: a class of default_config, then instance/config.py, then the environment."""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from flask import Config, Flask
from limits import parse as parse_rate
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

import default_config

from .data.dialects import OPTIONS_BY_BACKEND
from .data.embedded_redis import embedded_redis_url
from .data.redis import CLUSTER_SCHEME, ClientFactory, broker_options

PREFIX = "MYAPP_"
UNPREFIXED_VARIABLES = {
    "DATABASE_URL": "SQLALCHEMY_DATABASE_URI",
    "REDIS_URL": "REDIS_URL",
    "PORT": "PORT",
}
VARIABLE_BY_SETTING = {name: plain for plain, name in UNPREFIXED_VARIABLES.items()}
# The default of every setting: those of default_config.Config and, after
# `declare_defaults`, those of the features.
DEFAULTS: dict[str, Any] = {
    name: value for name, value in vars(default_config.Config).items() if name.isupper()
}
# Examples for the messages about settings that cannot be parsed.
SETTING_EXAMPLES = {
    "SQLALCHEMY_DATABASE_URI": "postgresql://user:password@host/name",
    "SQLALCHEMY_REPLICA_URIS": (
        "postgresql://user:password@host/name, separated by commas"
    ),
    "REDIS_URL": "redis://host:6379/0",
    "BROKER_URL": "redis://host:6379/1",
    "RATE_LIMIT": "5 per 15 seconds",
}
MAX_PORT = 65535
# flask-cors would read other characters as a pattern, which may admit unintended origins.
ORIGIN_PATTERN = re.compile(r"\*|https?://[A-Za-z0-9._:-]+", re.ASCII)
MIN_SECRET_BYTES = 32  # bytes; the least that RFC 7518 §3.2 requires of a key for HS256
TRUE_WORDS = {"1", "true", "yes", "on"}
FALSE_WORDS = {"0", "false", "no", "off", ""}


class SettingError(SystemExit):
    """A setting is missing or invalid; the message says which one, and what to do.

    If it is not caught, the process ends with this message and without a traceback.
    """


def configuration_name() -> str:
    """Return the configuration to use if the caller of `create_app` names none.

    A server without FLASK_CONFIG runs in production, because the secrets of development
    are public.
    """
    by_command = "FLASK_RUN_FROM_CLI" in os.environ  # Flask sets it
    default = "development" if by_command else "production"
    return os.environ.get("FLASK_CONFIG") or default


def declare_defaults(features: Iterable[Any]) -> None:
    """Add the defaults in the settings.py of each feature, a FeatureApi, to DEFAULTS."""
    for feature in features:
        module = feature.module("settings")
        for name in dir(module):
            if name.isupper():
                DEFAULTS[name] = getattr(module, name)


def load_settings(app: Flask, name: str, overrides: Mapping[str, Any]) -> None:
    """Fill `app.config`.

    `name`: development, testing or production. Testing reads neither the environment nor
    instance/config.py. `overrides` take precedence. Raises SettingError.
    """
    if name not in default_config.CONFIGS:
        known = ", ".join(default_config.CONFIGS)
        raise SettingError(f"FLASK_CONFIG is {name!r}; it must be one of: {known}.")
    app.config.update(DEFAULTS)
    app.config.from_object(default_config.CONFIGS[name])
    if name != "testing":
        require_absolute_path(os.environ.get("INSTANCE_PATH"))
        in_file = read_config_file(app.config.root_path)
        for message in config_file_errors(in_file):
            raise SettingError(message)
        app.config.update(in_file)
        app.config.update(read_environment(app.config, os.environ))
    app.config.update(overrides, CONFIG_NAME=name)
    if name == "production":
        require_secrets(app.config)
    complete_settings(app)


def require_absolute_path(folder: str | None) -> None:
    """Raise SettingError if INSTANCE_PATH is relative: processes start in different
    folders and must use the same one."""
    if folder and not os.path.isabs(folder):
        raise SettingError(
            f"INSTANCE_PATH is {folder!r}. Use an absolute path: {os.path.abspath(folder)}"
        )


def read_config_file(folder: str | os.PathLike[str]) -> Config:
    """Return the settings of the `config.py` in a folder; none if there is no such file."""
    path, config = os.path.join(folder, "config.py"), Config(folder)
    if os.path.isdir(path):  # Flask would ignore it
        raise SettingError(f"{path} is a folder, but it must be a file. Move it away.")
    config.from_pyfile(path, silent=True)
    return config


def config_file_errors(in_file: Mapping[str, Any]) -> Iterator[str]:
    """Yield a message for each value of config.py that differs in type from its default.

    The messages leave out the values, which may be secrets.
    """
    for name in sorted(in_file.keys() & DEFAULTS.keys()):
        value, default = in_file[name], DEFAULTS[name]
        if isinstance(default, bool):
            kind, is_valid = "True or False", isinstance(value, bool)
        elif isinstance(default, int):
            kind, is_valid = (
                "a whole number, 0 or more",
                type(value) is int and value >= 0,
            )
        elif isinstance(default, list):
            kind = "a list of strings"
            is_valid = isinstance(value, list | tuple) and all(
                isinstance(part, str) for part in value
            )
        else:
            kind, is_valid = "a string", isinstance(value, str) or value is default
        if not is_valid:
            yield f"{name} in instance/config.py must be {kind}."


def variable_name(name: str) -> str:
    """Return the name of the environment variable that sets a setting."""
    own = PREFIX + name
    return own if own in os.environ else VARIABLE_BY_SETTING.get(name, own)


def displayed_name(config: Mapping[str, Any], name: str) -> str:
    """Return the name by which a setting was set: an environment variable's, or its own."""
    in_environment = (
        config["CONFIG_NAME"] != "testing" and variable_name(name) in os.environ
    )
    return variable_name(name) if in_environment else name


def read_environment(
    config: Mapping[str, Any], environ: Mapping[str, str]
) -> dict[str, Any]:
    """Return the settings in `environ`, each converted to the type of its default.

    Raises SettingError for an unknown name or an invalid value.
    """
    values = {}
    for plain, name in UNPREFIXED_VARIABLES.items():
        if environ.get(plain):
            values[name] = parse_setting(plain, environ[plain], config[name])
    for key, text in environ.items():
        if key.startswith(PREFIX):
            name = key.removeprefix(PREFIX)
            if name not in config:
                near = closest_name(name, config)
                hint = f" Did you mean {PREFIX}{near}?" if near else ""
                raise SettingError(
                    f"{key} is set, but there is no setting {name}.{hint}"
                )
            values[name] = parse_setting(key, text, config[name])
    return values


def closest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to `name`, or None."""
    names = [known_name for known_name in known if known_name.isupper()]
    return next(iter(get_close_matches(name.upper(), names, 1, 0.75)), None)


def parse_setting(key: str, text: str, default: Any) -> Any:
    """Convert `text` to the type of `default`: bool, int, list or else str.

    A list is written in JSON or separated by commas. Raises SettingError.
    """
    if isinstance(default, bool):
        if text.lower() not in TRUE_WORDS | FALSE_WORDS:
            raise SettingError(f"{key} is {text!r}; it must be true or false.")
        return text.lower() in TRUE_WORDS
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
                f"{key} starts like a JSON list; it must be a list of strings."
            )
        return parts
    if isinstance(default, list):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def require_secrets(config: Mapping[str, Any]) -> None:
    """Raise SettingError if a secret is missing, too short or one of development's."""
    public_values = vars(default_config.DevelopmentConfig).values()
    for name in ("SECRET_KEY", "JWT_SECRET_KEY"):
        secret = config[name] or ""
        if len(secret.encode()) < MIN_SECRET_BYTES or secret in public_values:
            raise SettingError(
                f"{name} must be a secret of at least {MIN_SECRET_BYTES} bytes, your own. "
                "Generate one with: "
                'python3 -c "import secrets; print(secrets.token_urlsafe(48))" '
                f"and set it as {PREFIX}{name} in the environment or in .env."
            )


def complete_settings(app: Flask) -> None:
    """Set what depends on the instance folder, and validate the settings.

    Raises SettingError.
    """
    config = app.config
    config["REDIS_EMBEDDED"] = not config["REDIS_URL"]
    if config["REDIS_EMBEDDED"]:
        config["REDIS_URL"] = embedded_redis_url(app.instance_path)
    config["SQLALCHEMY_DATABASE_URI"] = database_uri(
        config["SQLALCHEMY_DATABASE_URI"]
        or "sqlite:///" + os.path.join(app.instance_path, "myapp.sqlite3")
    )
    if config["REDIS_URL"].startswith(CLUSTER_SCHEME) and not config["BROKER_URL"]:
        raise SettingError(
            "REDIS_URL names a Cluster, which cannot be the broker of the workers: "
            f"{variable_name('BROKER_URL')} must name a Redis server beside it."
        )
    config["BROKER_URL"] = config["BROKER_URL"] or config["REDIS_URL"]
    replicas = list(map(database_uri, config["SQLALCHEMY_REPLICA_URIS"]))
    config["SQLALCHEMY_REPLICA_URIS"] = replicas
    parsers: dict[str, Callable[[Any], object]] = {
        "SQLALCHEMY_DATABASE_URI": make_url,
        "SQLALCHEMY_REPLICA_URIS": lambda uris: list(map(make_url, uris)),
        "REDIS_URL": ClientFactory.from_url,
        "BROKER_URL": lambda url: (ClientFactory.from_url(url), broker_options(url)),
        "RATE_LIMIT": parse_rate,
    }
    for name, parse in parsers.items():
        try:
            parse(config[name])
        except (ArgumentError, ValueError):  # without the URL: it holds a password
            raise SettingError(
                f"{displayed_name(config, name)} is not valid. Write it as "
                f"{SETTING_EXAMPLES[name]}"
            ) from None
    if (
        make_url(config["SQLALCHEMY_DATABASE_URI"]).get_backend_name()
        not in OPTIONS_BY_BACKEND
    ):
        known, name = ", ".join(OPTIONS_BY_BACKEND), displayed_name(
            config, "SQLALCHEMY_DATABASE_URI"
        )
        raise SettingError(f"{name} must be one of: {known}.")
    if config["PORT"] > MAX_PORT:
        name = displayed_name(config, "PORT")
        raise SettingError(f"{name} is {config['PORT']}. A port is at most {MAX_PORT}.")
    for origin in config["CORS_ORIGINS"]:
        if not ORIGIN_PATTERN.fullmatch(origin):
            raise SettingError(
                f"{displayed_name(config, 'CORS_ORIGINS')} has {origin!r}; "
                "it takes origins such as https://app.example.com, or *."
            )
    for uri in replicas and [config["SQLALCHEMY_DATABASE_URI"], *replicas]:
        if make_url(uri).get_backend_name() != "postgresql":
            name = displayed_name(config, "SQLALCHEMY_REPLICA_URIS")
            raise SettingError(f"{name} works only with PostgreSQL.")
    prefix = config["API_PREFIX"].rstrip("/")
    if prefix and not prefix.startswith("/"):
        name = displayed_name(config, "API_PREFIX")
        raise SettingError(f"{name} is {prefix!r}; it must begin with a slash.")
    config["API_PREFIX"] = prefix
    config["RESTX_ERROR_404_HELP"] = False
    config["RESTX_MASK_HEADER"] = ""


def database_uri(uri: str) -> str:
    """Return `uri` with the name of our driver in place of a host's short form."""
    for short, driver in (
        ("postgres://", "postgresql+psycopg://"),
        ("postgresql://", "postgresql+psycopg://"),
        ("mysql://", "mysql+pymysql://"),
        ("mariadb://", "mariadb+pymysql://"),
    ):
        if uri.startswith(short):
            return driver + uri.removeprefix(short)
    return uri
