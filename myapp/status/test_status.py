import time

import pytest

from ..core.data.migrations import head_revisions, known_revisions
from ..core.data.session import sql, unit_of_work
from ..version import __version__

LIVE = "/status/"
READY = "/status/ready"
NO_STORE = "no-cache, no-store, max-age=0"
NOWHERE = {"SQLALCHEMY_DATABASE_URI": "sqlite:////there/is/no/such/folder/x.sqlite3"}
NO_REDIS = {"REDIS_URL": "redis://127.0.0.1:1/0"}


def failures(response):
    """Return the names of the dependencies that fail, without the optional worker."""
    assert response.headers["Cache-Control"] == NO_STORE
    required = response.json.keys() - {"worker"}
    assert required == {"database", "migrations", "redis"}
    failing = {name for name in required if response.json[name] != "ok"}
    assert response.status_code == (503 if failing else 200)
    return failing


def test_liveness_tells_the_version_and_for_how_long_the_service_runs(
    stranger, monkeypatch
):
    alive = stranger.get(LIVE)
    assert alive.status_code == 200
    assert alive.headers["Cache-Control"] == NO_STORE
    assert (alive.json["online"], alive.json["version"]) == (True, __version__)
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 60)
    assert 59 < stranger.get(LIVE).json["uptime"] - alive.json["uptime"] < 70


@pytest.mark.parametrize("address", [READY, f"{READY}/"])
def test_the_service_is_ready_without_a_worker_which_is_reported(stranger, address):
    ready = stranger.get(address)
    assert failures(ready) == set()
    assert ready.json["worker"] == "does not answer"


def execute(app, statement, **values):
    with app.app_context(), unit_of_work():
        sql.session.execute(sql.text(statement), values)


def test_the_service_is_ready_only_on_the_tables_of_its_release_or_a_newer_one(
    app, stranger
):
    update = "UPDATE alembic_version SET version_num = :revision"
    execute(app, update, revision="f00df00df00d")  # of a newer release
    assert failures(stranger.get(READY)) == set()
    for older in known_revisions() - head_revisions():
        execute(app, update, revision=older)
        assert failures(stranger.get(READY)) == {"migrations"}
    execute(app, "DELETE FROM alembic_version")
    ready = stranger.get(READY)
    assert failures(ready) == {"migrations"}
    assert "flask deploy" in ready.json["migrations"]


def test_without_its_tables_the_service_is_not_ready(make_app, empty_uri):
    ready = make_app(SQLALCHEMY_DATABASE_URI=empty_uri).test_client().get(READY)
    assert failures(ready) == {"migrations"}
    assert int(ready.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "settings, missing",
    [
        (NO_REDIS, {"redis"}),
        (NOWHERE, {"database", "migrations"}),
        (NO_REDIS | NOWHERE, {"redis", "database", "migrations"}),
    ],
)
def test_without_a_store_the_service_is_live_but_not_ready(make_app, settings, missing):
    client = make_app(**settings).test_client()
    ready = client.get(READY)
    assert failures(ready) == missing
    assert "folder" not in ready.text and "127.0.0.1" not in ready.text
    assert client.get(LIVE).status_code == 200
