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

SECRETS = {
    "MYAPP_SECRET_KEY": "x" * 32,
    "MYAPP_JWT_SECRET_KEY": "y" * 32,
}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    """Remove the settings of this machine from the environment."""
    for name in os.environ:
        if (
            name.startswith(("MYAPP_", "FLASK_"))
            or name in settings.UNPREFIXED_VARIABLES
        ):
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


# Sources


def test_a_setting_has_its_default(load):
    config = load()
    assert config["JWT_TTL"] == 15
    assert config["API_PREFIX"] == "/api/v1"
    assert config["MAX_CONTENT_LENGTH"] == 1024 * 1024
    assert config["AUTH_USERNAME1"] == "pythonista"
    assert config["CONFIG_NAME"] == "development"


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
    environment(
        MYAPP_REPLICA_MAX_LAG="61", DATABASE_URL="sqlite:///elsewhere", PORT="1"
    )
    config = load("testing")
    assert (config["JWT_TTL"], config["REPLICA_MAX_LAG"]) == (15, 5)
    assert config["PORT"] == 5000
    assert "elsewhere" not in config["SQLALCHEMY_DATABASE_URI"]
    assert config["TESTING"] is True


@pytest.mark.parametrize(
    "plain, value, name, expected",
    [
        ("DATABASE_URL", "sqlite:///x", "SQLALCHEMY_DATABASE_URI", "sqlite:///x"),
        ("REDIS_URL", "redis://host:1", "REDIS_URL", "redis://host:1"),
        ("PORT", "5055", "PORT", 5055),
    ],
)
def test_a_plain_name_of_a_host_is_used(
    load, environment, plain, value, name, expected
):
    environment(**{plain: value})
    assert load()[name] == expected
    environment(**{plain: ""})
    assert load()[name] != expected, "an empty one is none"


def test_our_own_name_overrides_the_plain_one(load, environment):
    environment(PORT="5055", MYAPP_PORT="5056")
    environment(DATABASE_URL="sqlite:///x", MYAPP_SQLALCHEMY_DATABASE_URI="sqlite:///y")
    environment(REDIS_URL="redis://x", MYAPP_REDIS_URL="redis://y")
    config = load()
    assert config["PORT"] == 5056
    assert config["SQLALCHEMY_DATABASE_URI"] == "sqlite:///y"
    assert config["REDIS_URL"] == "redis://y"


def test_without_addresses_both_stores_are_in_the_instance_folder(load, tmp_path):
    config = load()
    assert config["SQLALCHEMY_DATABASE_URI"] == f"sqlite:///{tmp_path}/myapp.sqlite3"
    assert config["REDIS_URL"].startswith("unix:///")
    assert config["REDIS_EMBEDDED"] is True


def test_a_redis_that_is_named_is_not_embedded(load):
    assert load(REDIS_URL="redis://host")["REDIS_EMBEDDED"] is False


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
        ("USE_TOKEN_AUTH", "true", True),
        ("USE_TOKEN_AUTH", "YES", True),
        ("USE_TOKEN_AUTH", "1", True),
        ("USE_TOKEN_AUTH", "on", True),
        ("USE_TOKEN_AUTH", "False", False),
        ("USE_TOKEN_AUTH", "no", False),
        ("USE_TOKEN_AUTH", "0", False),
        ("USE_TOKEN_AUTH", "off", False),
        ("USE_TOKEN_AUTH", "", False),
        ("CORS_ORIGINS", "", []),
        ("CORS_ORIGINS", "*", ["*"]),
        ("CORS_ORIGINS", "https://a, https://b,", ["https://a", "https://b"]),
        (
            "CORS_ORIGINS",
            '["https://a:81", "https://b"]',
            ["https://a:81", "https://b"],
        ),
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


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("MYAPP_JWT_TTL", "soon", "must be a whole number"),
        ("MYAPP_JWT_TTL", "", "must be a whole number"),
        ("MYAPP_JWT_TTL", "-1", "must be a whole number"),
        ("MYAPP_JWT_TTL", "1.5", "must be a whole number"),
        ("MYAPP_MAX_CONTENT_LENGTH", "1M", "must be a whole number"),
        ("MYAPP_PORT", "http", "must be a whole number"),
        ("PORT", "http", "must be a whole number"),
        ("MYAPP_USE_TOKEN_AUTH", "perhaps", "must be true or false"),
        ("MYAPP_REQUIRE_IF_MATCH", "2", "must be true or false"),
        ("MYAPP_API_PREFIX", "api", "must begin with a slash"),
    ],
)
def test_an_invalid_value_is_reported(load, environment, name, value, message):
    environment(**{name: value})
    with pytest.raises(SettingError) as refused:
        load()
    wanted = f"{name.removeprefix('MYAPP_')} is {value!r}; it {message}"
    assert wanted in str(refused.value)


@pytest.mark.parametrize("name", ["MYAPP_NONSENSE", "MYAPP_", "MYAPP_jwt_ttl"])
def test_an_unknown_setting_is_reported(load, environment, name):
    environment(**{name: "secret"})
    with pytest.raises(SettingError) as refused:
        load()
    assert str(refused.value).startswith(f"{name} is set, but there is no setting")
    assert "secret" not in str(refused.value)


def test_a_misspelt_setting_is_reported_with_the_right_name(load, environment):
    environment(MYAPP_JWT_TLL="secret")
    with pytest.raises(SettingError, match="Did you mean MYAPP_JWT_TTL\\?$"):
        load()


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
def test_an_invalid_value_is_quoted_with_an_example(load, environment, name, example):
    environment(**{name: "user:hunter2@host"})
    with pytest.raises(SettingError) as refused:
        load()
    assert str(refused.value) == f"{name} is not valid. Write it as {example}"


@pytest.mark.parametrize(
    "name, value", [("PORT", "65536"), ("MYAPP_PORT", "99999"), ("PORT", "9" * 30)]
)
def test_an_invalid_port_is_reported(load, environment, name, value):
    environment(**{name: value})
    with pytest.raises(
        SettingError, match=f"^{name} is {value}. A port is at most 65535"
    ):
        load()


def test_a_mistake_in_the_instance_folder_stops_the_start(load, tmp_path):
    (tmp_path / "config.py").write_text("API_PREFIX = 'api'\n")
    with pytest.raises(SettingError, match="^API_PREFIX is 'api'"):
        load()


@pytest.mark.parametrize(
    "line, kind",
    [
        ("JWT_TTL = '15'", "a whole number, 0 or more"),
        ("JWT_TTL = -15", "a whole number, 0 or more"),
        ("JWT_TTL = True", "a whole number, 0 or more"),
        ("USE_RATE_LIMITS = 1", "True or False"),
        ("CORS_ORIGINS = '*'", "a list of strings"),
        ("JWT_FORMER_SECRET_KEYS = [4711]", "a list of strings"),
        ("API_PREFIX = None", "a string"),
        ("SECRET_KEY = 4711", "a string"),
    ],
)
def test_a_value_in_the_instance_folder_must_have_the_type_of_its_default(
    load, tmp_path, line, kind
):
    (tmp_path / "config.py").write_text(line)
    with pytest.raises(SettingError) as refused:
        load()
    name = line.split()[0]
    assert str(refused.value) == f"{name} in instance/config.py must be {kind}."


def test_a_value_of_the_right_type_is_accepted_in_the_instance_folder(load, tmp_path):
    (tmp_path / "config.py").write_text(
        "REDIS_URL = None\nCORS_ORIGINS = ('*',)\nOF_MINE = -1\n"
        "PERMANENT_SESSION_LIFETIME = 60\n"
    )
    config = load()
    assert config["REDIS_EMBEDDED"] and config["OF_MINE"] == -1
    assert [*config["CORS_ORIGINS"]] == ["*"]


def test_a_folder_in_the_place_of_config_py_is_reported(load, tmp_path):
    (tmp_path / "config.py").mkdir()
    with pytest.raises(SettingError, match="config.py is a folder"):
        load()


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


def test_a_feature_brings_the_defaults_of_its_settings(feature, load):
    config = load()
    assert (config["SAMPLE_DAYS"], config["SAMPLE_FOLDER"]) == (30, None)
    assert "complete" not in config


def test_a_setting_of_a_feature_has_the_same_sources_as_others(
    feature, load, tmp_path, environment
):
    (tmp_path / "config.py").write_text("SAMPLE_DAYS = 31\n")
    assert load()["SAMPLE_DAYS"] == 31
    environment(MYAPP_SAMPLE_DAYS="32", MYAPP_SAMPLE_FOLDER="/there")
    assert load()["SAMPLE_DAYS"] == 32
    assert load()["SAMPLE_FOLDER"] == "/there"
    assert load(SAMPLE_DAYS=33)["SAMPLE_DAYS"] == 33


def test_a_setting_of_a_feature_has_the_type_of_its_default(
    feature, load, tmp_path, environment
):
    (tmp_path / "config.py").write_text("SAMPLE_DAYS = 'many'\n")
    with pytest.raises(
        SettingError, match="^SAMPLE_DAYS in instance/config.py must be"
    ):
        load()
    (tmp_path / "config.py").unlink()
    environment(MYAPP_SAMPLE_DAYS="many")
    with pytest.raises(SettingError, match="SAMPLE_DAYS is 'many'; it must be a whole"):
        load()


def test_a_misspelt_setting_of_a_feature_is_reported_with_the_right_name(
    feature, load, environment
):
    environment(MYAPP_SAMPEL_DAYS="1")
    with pytest.raises(SettingError, match="Did you mean MYAPP_SAMPLE_DAYS\\?$"):
        load()


# Which environment


def test_an_unknown_environment_is_refused(environment):
    environment(FLASK_CONFIG="staging")
    with pytest.raises(SettingError) as refused:
        create_app()
    message = str(refused.value)
    assert "FLASK_CONFIG" in message
    assert "'staging'" in message
    assert all(name in message for name in ("development", "testing", "production"))


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


def test_production_starts_with_secrets_of_its_own(load, environment):
    environment(**SECRETS)
    config = load("production")
    assert config["SECRET_KEY"] == "x" * 32
    assert config["AUTH_USERNAME1"] is None
    assert not config["TESTING"]


@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_SECRET_KEY"])
@pytest.mark.parametrize(
    "secret",
    [
        None,
        "",
        "x" * 31,
        default_config.DevelopmentConfig.SECRET_KEY,
        default_config.DevelopmentConfig.JWT_SECRET_KEY,
    ],
    ids=["none", "empty", "short", "known", "known, too"],
)
def test_production_refuses_a_bad_secret(load, environment, monkeypatch, name, secret):
    environment(**SECRETS)
    monkeypatch.delenv(f"MYAPP_{name}")
    if secret is not None:
        environment(**{f"MYAPP_{name}": secret})
    with pytest.raises(SettingError) as refused:
        load("production")
    message = str(refused.value)
    assert message.startswith(f"{name} must")
    assert "at least 32 bytes" in message
    assert f"MYAPP_{name}" in message
    assert "secrets.token_urlsafe(48)" in message
    assert not secret or secret not in message


def test_a_secret_is_measured_in_bytes(load, environment):
    environment(**SECRETS | {"MYAPP_SECRET_KEY": "é" * 16})
    assert load("production")["SECRET_KEY"] == "é" * 16


def test_a_secret_may_stand_in_the_instance_folder(load, tmp_path):
    lines = [f"{name.removeprefix('MYAPP_')} = {SECRETS[name]!r}\n" for name in SECRETS]
    (tmp_path / "config.py").write_text("".join(lines))
    assert load("production")["JWT_SECRET_KEY"] == "y" * 32


def test_only_production_asks_for_secrets(load):
    assert load("development")["SECRET_KEY"]
    assert load("testing")["SECRET_KEY"]


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("MYAPP_CORS_ORIGINS", '["https://a"', "must be a list of strings"),
        ("MYAPP_CORS_ORIGINS", "[1]", "must be a list of strings"),
        ("MYAPP_CORS_ORIGINS", "https://.*", "such as https://app.example.com"),
        ("MYAPP_CORS_ORIGINS", "https://a/", "such as https://app.example.com"),
        ("MYAPP_CORS_ORIGINS", "app.example.com", "such as https://app.example.com"),
        ("MYAPP_JWT_FORMER_SECRET_KEYS", "[hunter2]", "must be a list of strings"),
        ("DATABASE_URL", "oracle://me:hunter2@here/db", "one of: sqlite, postgresql"),
    ],
)
def test_an_invalid_list_or_address_is_refused(load, environment, name, value, message):
    environment(**{name: value})
    with pytest.raises(SettingError, match=message) as refused:
        load()
    assert "hunter2" not in str(refused.value)
