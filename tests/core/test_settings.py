"""The sources of settings, their valid values, and the messages for invalid ones."""

import logging
import os
from types import SimpleNamespace

import pytest
from flask import Flask

import default_config
from myapp import create_app
from myapp.core import settings
from myapp.core.settings import SettingError

SECRETS = {"MYAPP_SECRET_KEY": "x" * 32, "MYAPP_JWT_SECRET_KEY": "y" * 32}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    """Remove the settings of this machine from the environment."""
    plain = settings.UNPREFIXED_VARIABLES
    for name in os.environ:
        if name.startswith(("MYAPP_", "FLASK_")) or name in plain:
            monkeypatch.delenv(name)


@pytest.fixture
def environment(monkeypatch):
    """Set variables of the environment."""

    def environment(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return environment


@pytest.fixture
def load(tmp_path):
    """Return a function that loads the settings of an instance folder at `tmp_path`."""

    def load(name="development", **overrides):
        app = Flask("myapp", instance_path=str(tmp_path), instance_relative_config=True)
        settings.load_settings(app, name, overrides)
        return app.config

    return load


@pytest.fixture
def refusal(load):
    """Return a function that returns the message with which `load` fails."""

    def refusal(*args):
        with pytest.raises(SettingError) as refused:
            load(*args)
        return str(refused.value)

    return refusal


# Sources


def test_without_other_sources_a_setting_has_its_default(load, tmp_path):
    config = load()
    defaults = {"JWT_TTL": 15, "API_PREFIX": "/api/v1", "MAX_CONTENT_LENGTH": 1024**2}
    defaults |= {"AUTH_USERNAME1": "pythonista", "CONFIG_NAME": "development"}
    assert config.items() >= defaults.items()
    assert config["SQLALCHEMY_DATABASE_URI"] == f"sqlite:///{tmp_path}/myapp.sqlite3"
    assert config["REDIS_URL"].startswith("unix:///")
    assert config["REDIS_EMBEDDED"] is True
    assert load(REDIS_URL="redis://host")["REDIS_EMBEDDED"] is False


def test_each_source_overrides_the_one_above_it(load, tmp_path, environment):
    seen = [load()["JWT_TTL"]]
    (tmp_path / "config.py").write_text("JWT_TTL = 16\nREPLICA_MAX_LAG = 61\n")
    seen.append(load()["JWT_TTL"])
    environment(MYAPP_JWT_TTL="17")
    seen.append(load()["JWT_TTL"])
    seen.append(load(JWT_TTL=18)["JWT_TTL"])
    assert seen == [15, 16, 17, 18]
    assert load()["REPLICA_MAX_LAG"] == 61


def test_tests_take_nothing_from_this_machine(load, tmp_path, environment):
    (tmp_path / "config.py").write_text("JWT_TTL = 16\n")
    environment(MYAPP_REPLICA_MAX_LAG="61", PORT="1", DATABASE_URL="sqlite:///there")
    config = load("testing")
    assert (config["JWT_TTL"], config["REPLICA_MAX_LAG"]) == (15, 5)
    assert config["PORT"] == 5000
    assert config["SQLALCHEMY_DATABASE_URI"] != "sqlite:///there"
    assert config["TESTING"] is True


@pytest.mark.parametrize(
    "plain, name, value, other",
    [
        ("DATABASE_URL", "SQLALCHEMY_DATABASE_URI", "sqlite:///x", "sqlite:///y"),
        ("REDIS_URL", "REDIS_URL", "redis://host:1", "redis://host:2"),
        ("PORT", "PORT", 5055, 5056),
    ],
)
def test_a_plain_name_of_a_host_is_used_unless_ours_is_set(
    load, environment, monkeypatch, plain, name, value, other
):
    default = load()[name]
    environment(**{plain: str(value)})
    assert load()[name] == value
    environment(**{f"MYAPP_{name}": str(other)})
    assert load()[name] == other
    environment(**{plain: ""})
    monkeypatch.delenv(f"MYAPP_{name}")
    assert load()[name] == default, "an empty one is none"


@pytest.mark.parametrize(
    "given, driver",
    [
        ("postgres://u:p@host/db", "postgresql+psycopg://u:p@host/db"),
        ("postgresql://u:p@host/db", "postgresql+psycopg://u:p@host/db"),
        ("postgresql+psycopg://host/db", "postgresql+psycopg://host/db"),
        ("mysql://host/db", "mysql+pymysql://host/db"),
        ("mariadb://host/db", "mariadb+pymysql://host/db"),
        ("sqlite:///file", "sqlite:///file"),
    ],
)
def test_a_database_may_be_named_in_short(load, environment, given, driver):
    environment(DATABASE_URL=given)
    assert load()["SQLALCHEMY_DATABASE_URI"] == driver


# Valid values


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("JWT_TTL", "5", 5),
        ("MAX_CONTENT_LENGTH", "0", 0),
        *(("USE_TOKEN_AUTH", text, True) for text in ("true", "YES", "1", "on")),
        *(("USE_TOKEN_AUTH", text, False) for text in ("False", "no", "0", "off", "")),
        ("CORS_ORIGINS", "", []),
        ("CORS_ORIGINS", "*", ["*"]),
        ("CORS_ORIGINS", "https://a, https://b,", ["https://a", "https://b"]),
        ("CORS_ORIGINS", '["http://a:81", "http://b"]', ["http://a:81", "http://b"]),
        ("JWT_FORMER_SECRET_KEYS", '["one, with a comma"]', ["one, with a comma"]),
        ("AUTH_PASSWORD1", "007", "007"),
        ("AUTH_USERNAME2", "true", "true"),
        ("API_PREFIX", "", ""),
        ("API_PREFIX", "/", ""),
        ("API_PREFIX", "/api/v1.0", "/api/v1.0"),
        ("API_PREFIX", "/api/v2/", "/api/v2"),
    ],
)
def test_a_text_in_the_environment_is_converted(load, environment, name, text, value):
    environment(**{f"MYAPP_{name}": text})
    assert load()[name] == value
    assert type(load()[name]) is type(value)


NO_NUMBER = "{} is {!r}; it must be a whole number, 0 or more."
NO_LIST = "{} starts like a JSON list; it must be a list of strings."
NO_ORIGIN = "{} has {!r}; it takes origins such as https://app.example.com, or *."
UNKNOWN = "{} is set, but there is no setting "
NO_BOOLEAN = "{} is {!r}; it must be true or false."
NO_PORT = "{} is {}. A port is at most 65535"
NO_DATABASE = "{} must be one of: sqlite, postgresql"
ORIGINS, FORMER_KEYS = "MYAPP_CORS_ORIGINS", "MYAPP_JWT_FORMER_SECRET_KEYS"
# The names and values that get each message.
REFUSED = {
    NO_NUMBER: [("MYAPP_JWT_TTL", text) for text in ("soon", "", "-1", "1.5")]
    + [("MYAPP_MAX_CONTENT_LENGTH", "1M"), ("MYAPP_PORT", "http"), ("PORT", "http")],
    NO_BOOLEAN: [("MYAPP_USE_TOKEN_AUTH", "perhaps"), ("MYAPP_REQUIRE_IF_MATCH", "2")],
    "{} is {!r}; it must begin with a slash.": [("MYAPP_API_PREFIX", "api")],
    UNKNOWN: [(f"MYAPP_{name}", "hunter2") for name in ("NONSENSE", "", "jwt_ttl")],
    UNKNOWN + "JWT_TLL. Did you mean MYAPP_JWT_TTL?": [("MYAPP_JWT_TLL", "hunter2")],
    NO_PORT: [("PORT", "65536"), ("MYAPP_PORT", "99999"), ("PORT", "9" * 30)],
    NO_LIST: [(ORIGINS, "[1]"), (ORIGINS, '["https://a"'), (FORMER_KEYS, "[hunter2]")],
    NO_ORIGIN: [(ORIGINS, a) for a in ("https://.*", "https://a/", "app.example.com")],
    NO_DATABASE: [("DATABASE_URL", "oracle://me:hunter2@here/db")],
}


@pytest.mark.parametrize(
    "message, name, value",
    [(each, *pair) for each in REFUSED for pair in REFUSED[each]],
)
def test_an_invalid_setting_is_refused(refusal, environment, message, name, value):
    environment(**{name: value})
    refused = refusal()
    assert refused.startswith(message.format(name, value))
    assert "hunter2" not in refused


@pytest.mark.parametrize(
    "name, example",
    [
        ("DATABASE_URL", "postgresql://user:password@host/name"),
        ("MYAPP_SQLALCHEMY_DATABASE_URI", "postgresql://user:password@host/name"),
        ("REDIS_URL", "redis://host:6379/0"),
        ("MYAPP_BROKER_URL", "redis://host:6379/1"),
        ("MYAPP_RATE_LIMIT", "5 per 15 seconds"),
    ],
)
def test_an_invalid_value_gets_an_example(refusal, environment, name, example):
    environment(**{name: "user:hunter2@host"})
    assert refusal() == f"{name} is not valid. Write it as {example}"


WHOLE = "a whole number, 0 or more"


@pytest.mark.parametrize(
    "line, kind",
    [
        ("JWT_TTL = '15'", WHOLE),
        ("JWT_TTL = -15", WHOLE),
        ("JWT_TTL = True", WHOLE),
        ("USE_RATE_LIMITS = 1", "True or False"),
        ("CORS_ORIGINS = '*'", "a list of strings"),
        ("JWT_FORMER_SECRET_KEYS = [4711]", "a list of strings"),
        ("API_PREFIX = None", "a string"),
        ("SECRET_KEY = 4711", "a string"),
    ],
)
def test_a_value_in_the_instance_folder_must_have_the_type_of_its_default(
    refusal, tmp_path, line, kind
):
    (tmp_path / "config.py").write_text(line)
    assert refusal() == f"{line.split()[0]} in instance/config.py must be {kind}."


def test_a_mistake_in_the_instance_folder_stops_the_start(refusal, tmp_path):
    config = tmp_path / "config.py"
    config.write_text("API_PREFIX = 'api'\n")
    assert refusal().startswith("API_PREFIX is 'api'")
    config.unlink()
    config.mkdir()
    assert "config.py is a folder" in refusal()


def test_a_value_of_the_right_type_is_accepted_in_the_instance_folder(load, tmp_path):
    lines = "REDIS_URL = None\nCORS_ORIGINS = ('*',)\nOF_MINE = -1\n"
    (tmp_path / "config.py").write_text(lines + "PERMANENT_SESSION_LIFETIME = 60\n")
    config = load()
    assert config["REDIS_EMBEDDED"] and config["OF_MINE"] == -1
    assert [*config["CORS_ORIGINS"]] == ["*"]


def test_the_instance_folder_is_an_absolute_path(environment):
    environment(INSTANCE_PATH="here")
    with pytest.raises(SettingError, match="INSTANCE_PATH is 'here'. .*/here$"):
        create_app("development")


# The settings of a feature


@pytest.fixture
def feature(monkeypatch):
    """Add a feature with two settings to the features of the project."""
    monkeypatch.setattr(settings, "DEFAULTS", settings.DEFAULTS.copy())
    module = SimpleNamespace(SAMPLE_DAYS=30, SAMPLE_FOLDER=None, complete=complete)
    feature = SimpleNamespace(module={"settings": module}.get)
    without_settings = SimpleNamespace(module={}.get)
    settings.declare_defaults([without_settings, feature])
    return feature


def complete(app):
    """Stand for the function `complete` of a feature's settings.py."""


def test_a_setting_of_a_feature_has_a_default_and_the_sources_of_others(
    feature, load, tmp_path, environment
):
    config = load()
    assert (config["SAMPLE_DAYS"], config["SAMPLE_FOLDER"]) == (30, None)
    assert "complete" not in config
    (tmp_path / "config.py").write_text("SAMPLE_DAYS = 31\n")
    assert load()["SAMPLE_DAYS"] == 31
    environment(MYAPP_SAMPLE_DAYS="32", MYAPP_SAMPLE_FOLDER="/there")
    assert load()["SAMPLE_DAYS"] == 32
    assert load()["SAMPLE_FOLDER"] == "/there"
    assert load(SAMPLE_DAYS=33)["SAMPLE_DAYS"] == 33


def test_a_setting_of_a_feature_has_its_own_name_and_the_type_of_its_default(
    feature, refusal, tmp_path, environment
):
    (tmp_path / "config.py").write_text("SAMPLE_DAYS = 'many'\n")
    assert refusal() == f"SAMPLE_DAYS in instance/config.py must be {WHOLE}."
    (tmp_path / "config.py").unlink()
    environment(MYAPP_SAMPLE_DAYS="many")
    assert refusal() == NO_NUMBER.format("MYAPP_SAMPLE_DAYS", "many")
    environment(MYAPP_SAMPLE_DAYS="1", MYAPP_SAMPEL_DAYS="1")
    assert refusal().endswith("Did you mean MYAPP_SAMPLE_DAYS?")


# Which environment


def test_an_unknown_environment_is_refused(environment):
    environment(FLASK_CONFIG="staging")
    with pytest.raises(SettingError) as refused:
        create_app()
    expected = "FLASK_CONFIG", "'staging'", "development", "testing", "production"
    assert all(text in str(refused.value) for text in expected)


def test_flask_config_chooses_the_environment(environment, tmp_path):
    environment(FLASK_CONFIG="testing", INSTANCE_PATH=str(tmp_path / "made"))
    assert create_app().config["CONFIG_NAME"] == "testing"
    assert (tmp_path / "made").is_dir()


def test_a_command_works_in_development_and_a_server_in_production(
    environment, tmp_path, monkeypatch
):
    logger = logging.getLogger("myapp")  # production logs in another way
    monkeypatch.setattr(logger, "handlers", logger.handlers[:])
    environment(INSTANCE_PATH=str(tmp_path), **SECRETS)
    assert create_app().config["CONFIG_NAME"] == "production"
    environment(FLASK_CONFIG="")
    assert create_app().config["CONFIG_NAME"] == "production"
    environment(FLASK_RUN_FROM_CLI="true")
    assert create_app().config["CONFIG_NAME"] == "development"
    environment(FLASK_CONFIG="production")
    assert create_app().config["CONFIG_NAME"] == "production"


# Production

KNOWN = default_config.DevelopmentConfig


def test_only_production_requires_secrets_of_its_own(load, environment, tmp_path):
    assert load("development")["SECRET_KEY"] and load("testing")["SECRET_KEY"]
    lines = [f"{name.removeprefix('MYAPP_')} = {SECRETS[name]!r}\n" for name in SECRETS]
    (tmp_path / "config.py").write_text("".join(lines))
    assert load("production")["JWT_SECRET_KEY"] == "y" * 32
    (tmp_path / "config.py").unlink()
    environment(**SECRETS)
    config = load("production")
    assert (config["SECRET_KEY"], config["AUTH_USERNAME1"]) == ("x" * 32, None)
    assert not config["TESTING"]
    environment(MYAPP_SECRET_KEY="é" * 16)  # a secret is measured in bytes
    assert load("production")["SECRET_KEY"] == "é" * 16


@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_SECRET_KEY"])
@pytest.mark.parametrize(
    "secret", [None, "", "x" * 31, KNOWN.SECRET_KEY, KNOWN.JWT_SECRET_KEY]
)
def test_a_bad_secret_is_refused(refusal, environment, monkeypatch, name, secret):
    environment(**SECRETS)
    monkeypatch.delenv(f"MYAPP_{name}")
    if secret is not None:
        environment(**{f"MYAPP_{name}": secret})
    message = refusal("production")
    assert message.startswith(f"{name} must be a secret of at least 32 bytes")
    assert f"MYAPP_{name}" in message and "secrets.token_urlsafe(48)" in message
    assert not secret or secret not in message
