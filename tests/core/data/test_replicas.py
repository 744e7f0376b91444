"""Reads from a streaming replica: a primary and its replica, and two hosts.

The replay of the replica is paused, so that its data tell which server responded.
"""

import time
from contextlib import ExitStack, contextmanager
from glob import glob
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import psycopg
import pytest

from conftest import (
    LAMP,
    SHARED_PASSWORD,
    as_account,
    basic,
    close_stores,
    create_tables_and_accounts,
    signed_in_client,
)
from myapp import create_app
from myapp.core.data import replicas
from myapp.core.data.redis import redis_store
from myapp.core.data.session import sql, unit_of_work
from myapp.core.settings import SettingError
from myapp.users.models import User
from support import databases
from support.features import SERVED
from support.features.sample_gadgets.models import SampleGadget

GADGETS = "/api/v1/sample_gadgets/"
NO_REDIS = "redis://127.0.0.1:1/0"
MAX_LAG = 1
LIMIT = 20  # seconds that anything here may take, on a busy machine

pytestmark = pytest.mark.skipif(
    not glob("/usr/lib/postgresql/*/bin/postgres"), reason="PostgreSQL is not installed"
)


class Pair:
    """A primary and its replica, which can be stopped, started and paused."""

    def __init__(self, stack):
        self._stack = stack
        # Not in pytest's own folder, which other users cannot enter; these servers must.
        self._folders = {
            name: stack.enter_context(TemporaryDirectory(prefix=f"{name}-"))
            for name in ("primary", "replica")
        }
        self._ports = {name: databases.free_port() for name in self._folders}
        self._running = {}
        databases.init_postgresql(self._folders["primary"])
        self.start("primary")
        databases.copy_postgresql(self._folders["replica"], self._ports["primary"])
        self.start("replica")

    def uri(self, name):
        return databases.address(self._ports[name])

    def start(self, name):
        self._running[name] = server = ExitStack()
        server.enter_context(
            databases.run_postgresql(self._folders[name], self._ports[name])
        )
        self._stack.push(server)
        wait_until(lambda: self._answers(name))

    def stop(self, name):
        self._running[name].close()

    def halt(self):
        """From now on the replica shows what it has by now."""
        self._ask("SELECT pg_wal_replay_pause()")
        state = "SELECT pg_get_wal_replay_pause_state() = 'paused'"
        wait_until(lambda: self._ask(state))

    def go_on(self):
        if self._ask("SELECT pg_is_wal_replay_paused()"):
            self._ask("SELECT pg_wal_replay_resume()")

    def _ask(self, question, name="replica"):
        with psycopg.connect(self.uri(name), autocommit=True) as connection:
            return connection.execute(question).fetchone()[0]

    def _answers(self, name):
        try:
            return self._ask("SELECT true", name)
        except psycopg.OperationalError:  # it listens before it has recovered
            return False


def wait_until(condition):
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def pair():
    with ExitStack() as stack:
        yield Pair(stack)


@pytest.fixture(scope="module")
def host(pair, redis_url):
    """Make what a web host runs: an application on both servers."""
    results = []

    def host(uris=(pair.uri("replica"),), **settings):
        stores = {
            "SQLALCHEMY_DATABASE_URI": pair.uri("primary"),
            "REDIS_URL": redis_url,
        }
        lag = {"SQLALCHEMY_REPLICA_URIS": uris, "REPLICA_MAX_LAG": MAX_LAG}
        app = create_app("testing", features=SERVED, **stores | lag | settings)
        results.append(app)
        return app

    create_tables_and_accounts(host(uris=[]))
    yield host
    for app in results:
        close_stores(app)


@pytest.fixture(scope="module")
def one(host):
    return host()


@pytest.fixture(scope="module")
def other(host):
    return host()


@pytest.fixture(autouse=True)
def all_well(pair, one, other, monkeypatch):
    """Start both servers; no account has written lately, and checks are frequent."""
    monkeypatch.setattr(replicas, "CHECK_INTERVAL_SECONDS", 0.05)
    for app in (one, other):
        with app.app_context():
            sql.engine.dispose()  # a server that was stopped has cut its connections
    pair.go_on()
    redis_store.init_app(one)
    redis_store.flushdb()
    yield
    pair.go_on()


def servers(app):
    return app.extensions["replicas"]


def in_use(app):
    """Return when this host would read from its replica."""

    def looks():
        for server in (servers(app).primary, *servers(app).all):
            server.refresh()
        return servers(app)._is_fresh(servers(app).all[0])

    wait_until(looks)


def caught_up(app):
    """Return when the replica has what the primary has now, by what this host sees."""
    now = time.monotonic()

    def looks():
        in_use(app)
        return servers(app).all[0].fresh_until > now

    wait_until(looks)


def rename(app, url, name):
    """Change a gadget behind its owner's back, as another host's caller may."""
    id = int(url.rsplit("/", 1)[1])
    with app.app_context(), unit_of_work():
        SampleGadget.lock_or_404(id).update(name=name)


@pytest.fixture
def lamp(one):
    """Return the URL of a gadget on both servers; its owner has not just written."""
    url = as_account(one, "pythonista").post(GADGETS, json=LAMP).json["url"]
    caught_up(one)
    redis_store.flushdb()
    return url


def name_at(app, url):
    return as_account(app, "pythonista").get(url).json["name"]


def test_a_read_goes_to_the_replica(pair, one, lamp):
    pair.halt()
    rename(one, lamp, "Moved")
    client = as_account(one, "pythonista")
    assert client.get(lamp).json["name"] == LAMP["name"]
    assert client.get(GADGETS + "?name=Moved").json["items"] == []
    exported = client.get(GADGETS + "export?name=Moved&format=ndjson").text
    assert exported.count("\n") == 1, "one long query goes to the primary"
    pair.go_on()
    caught_up(one)
    assert client.get(lamp).json["name"] == "Moved"
    assert len(client.get(GADGETS + "?name=Moved").json["items"]) == 1


def test_a_writer_reads_its_change_on_every_host(pair, one, other, lamp):
    in_use(other)
    pair.halt()
    changed = as_account(one, "pythonista").patch(lamp, json={"name": "Changed"})
    assert changed.status_code == 200
    for app in (one, other):
        in_use(app)
        read = as_account(app, "pythonista").get(lamp)
        assert read.json["name"] == "Changed"
        assert read.headers["ETag"] == changed.headers["ETag"]


def test_a_writer_returns_to_the_replica_in_time(pair, one, lamp):
    as_account(one, "pythonista").patch(lamp, json={"name": "Changed"})
    time.sleep(MAX_LAG + 0.05)
    caught_up(one)
    pair.halt()
    rename(one, lamp, "Changed again")
    assert name_at(one, lamp) == "Changed"


def test_after_a_412_an_account_reads_the_current_state(pair, one, lamp):
    client = as_account(one, "pythonista")
    tag = client.get(lamp).headers["ETag"]
    in_use(one)
    pair.halt()
    rename(one, lamp, "Changed")
    refused = client.patch(lamp, json={}, headers={"If-Match": tag})
    assert refused.status_code == 412
    assert client.get(lamp).headers["ETag"] != tag


def test_a_new_account_exists_for_every_host(pair, one, other):
    credentials = {"username": "newcomer", "password": "tulips & roses"}
    in_use(one)
    in_use(other)
    pair.halt()
    registered = one.test_client().post("/api/v1/auth/register", json=credentials)
    assert registered.status_code == 201
    signed_in = one.test_client().post("/api/v1/auth/login", json=credentials)
    bearer = {"Authorization": f"Bearer {signed_in.json['access_token']}"}
    for path in ("account", "auth/sessions"):
        seen = other.test_client().get(f"/api/v1/{path}", headers=bearer)
        assert seen.status_code == 200
        assert seen.json.get("username") == "newcomer" or seen.json["items"]


def test_a_replica_too_far_behind_is_left_out(pair, one, lamp):
    pair.halt()
    rename(one, lamp, "Changed")
    time.sleep(MAX_LAG + 0.05)
    assert name_at(one, lamp) == "Changed"
    as_account(one, "pythonista").get(lamp)  # this triggers the next check
    time.sleep(0.2)
    assert name_at(one, lamp) == "Changed"


def test_a_block_takes_effect_before_it_reaches_the_replica(pair, one, other):
    signed_in_client(one, "nuisance")
    caught_up(one)
    header = {"Authorization": basic("nuisance", SHARED_PASSWORD)}
    assert other.test_client().get(GADGETS, headers=header).status_code == 200
    pair.halt()
    with one.app_context(), unit_of_work():
        User.find("nuisance").update("nuisance", status="blocked")
    began, client = time.monotonic(), other.test_client()
    wait_until(lambda: client.get(GADGETS, headers=header).status_code == 401)
    assert time.monotonic() - began < 1.2


def test_without_redis_reads_go_to_the_primary(pair, host, lamp):
    app = host(REDIS_URL=NO_REDIS)
    in_use(app)
    pair.halt()
    rename(app, lamp, "Changed")
    assert name_at(app, lamp) == "Changed"


@contextmanager
def without(pair, name):
    """Meanwhile that server is down."""
    pair.stop(name)
    try:
        yield
    finally:
        pair.start(name)


def test_while_the_replica_is_down_the_primary_responds(pair, one, lamp):
    assert name_at(one, lamp)
    in_use(one)
    with without(pair, "replica"):
        assert as_account(one, "pythonista").get(lamp).status_code == 200
        rename(one, lamp, "Changed")
        assert name_at(one, lamp) == "Changed"
    caught_up(one)
    pair.halt()
    rename(one, lamp, "Changed again")
    assert name_at(one, lamp) == "Changed"


def test_after_a_restart_a_writer_reads_at_the_primary_still(pair, one, lamp):
    in_use(one)
    pair.halt()
    client = as_account(one, "pythonista")
    assert client.patch(lamp, json={"name": "Changed"}).status_code == 200
    with without(pair, "primary"):
        pass
    for _ in range(5):
        assert client.get(lamp).json["name"] == "Changed"
        as_account(one, "engineer").get(GADGETS)  # this triggers a check of the servers
        time.sleep(0.06)


def test_while_the_primary_is_down_reads_go_on(pair, one, host, lamp):
    started_late = host()
    in_use(one)
    with without(pair, "primary"):
        for app in (one, started_late):
            client = as_account(app, "pythonista")
            app.extensions["authenticator"].accounts.clear()
            assert client.get(lamp).json["name"] == LAMP["name"]
            refused = client.patch(lamp, json={"name": "Changed"})
            assert refused.status_code == 503 and refused.headers["Retry-After"]
            again = client.get(lamp)
            assert again.status_code == 200, "an account that has tried to write, too"
            ready = client.get("/status/ready")
            assert ready.status_code == 503 and ready.json["database"] != "ok"
            with without(pair, "replica"):
                assert client.get(lamp).status_code == 503
    client = as_account(one, "pythonista")
    wait_until(lambda: client.get(lamp).status_code == 200)
    assert client.patch(lamp, json={"name": "Changed"}).status_code == 200


def test_a_server_that_accepts_writes_is_no_replica(pair, host, lamp):
    app = host(uris=[pair.uri("primary")])
    replica = servers(app).all[0]
    wait_until(lambda: replica.refresh() or replica.away)
    assert servers(app).choose(SimpleNamespace(id=1)) is servers(app).primary
    assert name_at(app, lamp) == LAMP["name"]


def test_of_several_replicas_an_account_reads_one(host, pair, lamp):
    app = host(uris=[pair.uri("replica")] * 2)
    both = servers(app).all
    wait_until(lambda: in_use(app) or all(map(servers(app)._is_fresh, both)))
    with app.app_context():
        owner = User.query.filter_by(username="pythonista").first()
        chosen = {servers(app).choose(owner) for _ in range(5)}
        sql.session.rollback()
    assert len(chosen) == 1 and chosen <= set(both)


@pytest.mark.parametrize(
    "database, replica",
    [("sqlite", "postgresql"), ("postgresql", "mariadb"), ("mariadb", "mariadb")],
)
def test_replicas_are_postgresql_s(database, replica):
    uris = {"SQLALCHEMY_DATABASE_URI": f"{database}:///h/d"}
    uris["SQLALCHEMY_REPLICA_URIS"] = [f"{replica}://h/d"]
    with pytest.raises(SettingError, match="PostgreSQL"):
        create_app("testing", **uris)
