"""Each request is logged as one line: JSON in production, else text."""

import json
import logging.handlers
import queue

import pytest

from conftest import LAMP, as_account, basic, close_stores
from myapp import create_app
from myapp.users.models import User
from support.features import SERVED

GADGETS = "/api/v1/sample_gadgets/"
SESSIONS = "/api/v1/auth/sessions"
KEYS = {"at", "level", "request_id", "method", "route", "status", "ms", "account"}


@pytest.fixture
def log_lines(capsys, monkeypatch):
    """Return a function that reads the lines which new applications have logged."""
    logger = logging.getLogger("myapp")
    monkeypatch.setattr(logger, "handlers", logger.handlers[:])
    return lambda: capsys.readouterr().err.splitlines()


@pytest.fixture
def production_app(log_lines, make_app):
    """Yield an application that logs as in production."""
    stores = make_app().config
    app = create_app(
        "production",
        features=SERVED,
        SQLALCHEMY_DATABASE_URI=stores["SQLALCHEMY_DATABASE_URI"],
        REDIS_URL=stores["REDIS_URL"],
        SECRET_KEY="x" * 32,
        JWT_SECRET_KEY="y" * 32,
    )
    yield app
    close_stores(app)


def test_in_production_a_request_is_a_line_of_json(production_app, log_lines):
    client = as_account(production_app, "pythonista")
    answer = client.get(SESSIONS, headers={"X-Request-ID": "find-me"})
    (line,) = map(json.loads, log_lines())
    assert line.keys() == KEYS
    assert (line["level"], line["request_id"]) == ("info", "find-me")
    assert (line["method"], line["route"], line["status"]) == ("GET", SESSIONS, 200)
    with production_app.app_context():
        assert line["account"] == User.find("pythonista").id
    assert 0 < line["ms"] < 60_000
    assert line["at"].endswith("Z")
    assert answer.headers["X-Request-ID"] == "find-me"


def test_no_url_no_query_and_no_secret_is_logged(production_app, log_lines):
    stranger = production_app.test_client()
    stranger.get(f"{GADGETS}4711471147114711/report?q=hunter2")
    stranger.get("/secret/place?token=hunter2")
    stranger.get(SESSIONS, headers={"Authorization": basic("pythonista", "hunter2")})
    text = log_lines()
    lines = [json.loads(line) for line in text]
    assert [line["status"] for line in lines] == [401, 404, 401]
    assert [line["account"] for line in lines] == [None, None, None]
    assert lines[0]["route"] == "/api/v1/sample_gadgets/<int:id>/report"
    assert lines[1]["route"] == "(none)"
    for secret in ("4711471147114711", "hunter2", "secret", "pythonista"):
        assert secret not in "".join(text)


def test_an_unexpected_error_is_one_line_with_its_traceback(production_app, log_lines):
    production_app.add_url_rule("/breaks", view_func=lambda: 1 / 0)
    production_app.test_client().get("/breaks", headers={"X-Request-ID": "find-me"})
    error, line = map(json.loads, log_lines())
    assert (error["level"], error["request_id"]) == ("error", "find-me")
    assert "ZeroDivisionError" in error["trace"]
    assert (line["status"], line["request_id"]) == (500, "find-me")


def test_the_root_logger_does_not_repeat_a_line(production_app, monkeypatch):
    root_handler = logging.handlers.QueueHandler(queue.SimpleQueue())
    monkeypatch.setattr(logging.root, "handlers", [root_handler])
    production_app.test_client().get(SESSIONS)
    assert root_handler.queue.empty()


def test_a_line_break_cannot_fake_a_line(production_app, log_lines):
    production_app.logger.warning("one\nat: two")
    (line,) = log_lines()
    assert json.loads(line)["message"] == "one\nat: two"


def test_outside_production_a_line_is_text(log_lines, make_app):
    client = as_account(make_app(), "pythonista")
    answer = client.post(GADGETS, json=LAMP, headers={"X-Request-ID": "find-me"})
    client.delete(answer.json["url"])
    first, second = log_lines()
    assert f"POST {GADGETS} 201" in first and first.endswith("find-me")
    assert "account" in first and " ms" in first
    assert f"DELETE {GADGETS}<int:id> 204" in second
