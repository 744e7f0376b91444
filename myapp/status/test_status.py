import time

import pytest

from ..core.data.migrations import head_revisions, known_revisions
from ..core.data.session import sql, unit_of_work
from ..version import __version__

LIVE = "/status/"
READY = "/status/ready"
NO_STORE = "no-cache, no-store, max-age=0"
NOWHERE = "sqlite:////there/is/no/such/folder/myapp.sqlite3"
NO_REDIS = "redis://127.0.0.1:1/0"


def problems_of(answer):
    """Return the names of the dependencies that fail, without the optional worker."""
    assert answer.headers["Cache-Control"] == NO_STORE
    assert answer.json.keys() == {"database", "migrations", "redis", "worker"}
    return {
        part
        for part, state in answer.json.items()
        if state != "ok" and part != "worker"
    }


def test_liveness_needs_no_credentials(stranger):
    alive = stranger.get(LIVE)
    assert alive.status_code == 200
    assert alive.headers["Cache-Control"] == NO_STORE
    assert alive.json.keys() == {"online", "uptime", "version"}
    assert alive.json["online"] is True
    assert alive.json["version"] == __version__


def test_uptime_grows(stranger, monkeypatch):
    before = stranger.get(LIVE).json["uptime"]
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 60)
    assert 59 < stranger.get(LIVE).json["uptime"] - before < 70


def test_the_service_is_ready_when_all_dependencies_are(stranger):
    ready = stranger.get(READY)
    assert ready.status_code == 200
    assert problems_of(ready) == set()


def test_a_missing_worker_is_reported(stranger):
    ready = stranger.get(READY)
    assert ready.status_code == 200
    assert ready.json["worker"] == "does not answer"


def migrated_to(app, revision):
    with app.app_context(), unit_of_work():
        statement = sql.text("UPDATE alembic_version SET version_num = :revision")
        sql.session.execute(statement, {"revision": revision})


def test_on_the_tables_of_a_newer_release_the_service_is_ready(app, stranger):
    migrated_to(app, "f00df00df00d")
    ready = stranger.get(READY)
    assert ready.status_code == 200
    assert ready.json["migrations"] == "ok"


def test_on_the_tables_of_an_older_release_the_service_is_not_ready(app, stranger):
    for older in known_revisions() - head_revisions():
        migrated_to(app, older)
        ready = stranger.get(READY)
        assert ready.status_code == 503
        assert problems_of(ready) == {"migrations"}


def test_without_its_migrations_the_service_is_not_ready(app, stranger):
    with app.app_context(), unit_of_work():
        sql.session.execute(sql.text("DELETE FROM alembic_version"))
    ready = stranger.get(READY)
    assert ready.status_code == 503
    assert problems_of(ready) == {"migrations"}
    assert "flask deploy" in ready.json["migrations"]


def test_without_its_tables_the_service_is_not_ready(make_app, empty_uri):
    client = make_app(SQLALCHEMY_DATABASE_URI=empty_uri).test_client()
    ready = client.get(READY)
    assert ready.status_code == 503
    assert int(ready.headers["Retry-After"]) > 0
    assert problems_of(ready) == {"migrations"}


@pytest.mark.parametrize(
    "settings, missing",
    [
        ({"REDIS_URL": NO_REDIS}, {"redis"}),
        ({"SQLALCHEMY_DATABASE_URI": NOWHERE}, {"database", "migrations"}),
        (
            {"REDIS_URL": NO_REDIS, "SQLALCHEMY_DATABASE_URI": NOWHERE},
            {"redis", "database", "migrations"},
        ),
    ],
)
def test_without_a_store_the_service_is_live_but_not_ready(make_app, settings, missing):
    client = make_app(**settings).test_client()
    ready = client.get(READY)
    assert ready.status_code == 503
    assert problems_of(ready) == missing
    assert "folder" not in ready.text and "127.0.0.1" not in ready.text
    assert client.get(LIVE).status_code == 200


@pytest.mark.parametrize("address", [LIVE, READY])
def test_a_status_has_two_urls_with_and_without_a_slash(stranger, address):
    for path in (address.rstrip("/"), address.rstrip("/") + "/"):
        assert stranger.get(path).status_code == 200


@pytest.mark.parametrize("address", [LIVE, READY])
def test_a_status_is_read_only(stranger, address):
    allowed = {"GET", "HEAD", "OPTIONS"}
    response = stranger.options(address)
    assert (response.status_code, set(response.allow)) == (200, allowed)
    for verb in ("POST", "PUT", "PATCH", "DELETE"):
        refused = stranger.open(address, method=verb)
        assert (refused.status_code, set(refused.allow)) == (405, allowed)
    head = stranger.head(address)
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Cache-Control"] == NO_STORE
