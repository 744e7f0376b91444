"""The connection settings of each database, and requests during an outage."""

import socket
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial

import pytest
from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.exc import DataError, IntegrityError

from conftest import (
    DATABASE_SERVER,
    LAMP,
    as_account,
    close_stores,
    create_tables_and_accounts,
)
from myapp.core.data import dialects
from myapp.core.data.batches import in_batches
from myapp.core.data.session import RetryTransaction, sql, unit_of_work
from myapp.core.data.statements import read, statement_executed
from myapp.roles.models import Role
from support.assertions import assert_problem
from support.concurrency import at_once

GADGETS = "/api/v1/sample_gadgets/"
KIND = make_url(DATABASE_SERVER).get_backend_name() if DATABASE_SERVER else "sqlite"
KIND = {"mysql": "mariadb"}.get(KIND, KIND)
on_a_server = pytest.mark.skipif(not DATABASE_SERVER, reason="SQLite is no server")
IDLE_MINUTES = dialects.IDLE_TIMEOUT_SECONDS // 60
TOLD = {
    "sqlite": {
        "PRAGMA journal_mode": "wal",
        "PRAGMA synchronous": 2,
        "PRAGMA foreign_keys": 1,
        "PRAGMA busy_timeout": dialects.LOCK_TIMEOUT_SECONDS * 1000,
    },
    "postgresql": {
        "SHOW lock_timeout": f"{dialects.LOCK_TIMEOUT_SECONDS}s",
        "SHOW statement_timeout": f"{dialects.STATEMENT_TIMEOUT_SECONDS}s",
        "SHOW idle_in_transaction_session_timeout": f"{IDLE_MINUTES}min",
        "SHOW client_encoding": "UTF8",
    },
    "mariadb": {
        "SELECT @@innodb_lock_wait_timeout": dialects.LOCK_TIMEOUT_SECONDS,
        "SELECT @@lock_wait_timeout": dialects.LOCK_TIMEOUT_SECONDS,
        "SELECT @@max_statement_time": dialects.STATEMENT_TIMEOUT_SECONDS,
        "SELECT @@idle_transaction_timeout": dialects.IDLE_TIMEOUT_SECONDS,
        "SELECT @@sql_mode LIKE '%%STRICT_ALL_TABLES%%'": 1,
        "SELECT @@character_set_client": "utf8mb4",
    },
}


@contextmanager
def connect(engine):
    with engine.connect() as connection:
        yield connection.exec_driver_sql


def test_each_connection_has_our_settings(live_app):
    with live_app.app_context():
        for engine in (sql.engine, live_app.extensions["statements"].engine):
            with connect(engine) as ask:
                settings = {question: ask(question).scalar() for question in TOLD[KIND]}
            assert settings == TOLD[KIND]
        if DATABASE_SERVER:
            connection = sql.session.connection()
            assert connection.get_isolation_level() == "READ COMMITTED"


# Values are stored unchanged


@on_a_server  # SQLite keeps text of any length
def test_a_text_that_is_too_long_is_refused_and_not_truncated(live_app):
    with live_app.app_context(), pytest.raises(DataError), unit_of_work():
        Role.create(title="x" * 1000, default=False, permissions=[])


def test_names_that_are_alike_to_a_dictionary_stay_apart(live_app):
    client = as_account(live_app, "pythonista")
    names = ["straße", "strasse", "Strasse", "é", "e\u0301", "e", "🌡", "🔌", "a", "a "]
    for name in names:
        response = client.post(GADGETS, json={**LAMP, "name": name})
        assert response.json["name"] == name
        items = client.get(GADGETS, query_string={"name": name}).json["items"]
        assert [gadget["name"] for gadget in items] == [name]


# Time limits


def assert_unavailable(response):
    assert_problem(response, 503)
    assert response.headers["Retry-After"]


@contextmanager
def at_each_commit(app, function):
    """Meanwhile call `function` when a transaction is about to be committed."""

    def listen(_connection):
        function()

    with app.app_context():
        event.listen(sql.engine, "commit", listen)
        yield
        event.remove(sql.engine, "commit", listen)


IMPATIENT = {
    "postgresql": {
        "options": "-c statement_timeout=300 -c idle_in_transaction_session_timeout=900"
    },
    "mariadb": {
        "init_command": "SET SESSION max_statement_time=0.3, idle_transaction_timeout=1"
    },
}
LONG = {"postgresql": "SELECT pg_sleep(3)", "mariadb": "SELECT SLEEP(3)"}
MANY = {  # 20 MB, more than any buffer on the way holds
    "postgresql": "SELECT n, repeat('x', 10000) FROM generate_series(1, 2000) AS n",
    "mariadb": "SELECT seq, REPEAT('x', 10000) FROM seq_1_to_2000",
}


@pytest.fixture
def impatient(make_app):
    return make_app(SQLALCHEMY_ENGINE_OPTIONS={"connect_args": IMPATIENT[KIND]})


@on_a_server
def test_a_statement_that_takes_too_long_is_cancelled(impatient):
    @impatient.route("/long")
    def long():
        with unit_of_work():
            sql.session.execute(sql.text(LONG[KIND]))
        return "done"

    began = time.monotonic()
    assert_unavailable(impatient.test_client().get("/long"))
    assert time.monotonic() - began < 2


@on_a_server
def test_a_download_may_take_longer_than_a_statement(impatient):
    rows = 0
    with impatient.app_context():
        for batch in in_batches(sql.text(MANY[KIND]), 500):
            rows += len(batch)
            time.sleep(0.2)
    assert rows == 2000


@on_a_server
def test_an_idle_transaction_is_ended(impatient):
    client = as_account(impatient, "pythonista")
    with at_each_commit(impatient, lambda: time.sleep(1.2)):
        assert_problem(client.post(GADGETS, json=LAMP), 503)
    assert client.get(GADGETS).json["meta"]["total"] == 0


UNLIMITED = {
    "postgresql": ("statement_timeout", "idle_in_transaction_session_timeout"),
    "mariadb": ("max_statement_time", "idle_transaction_timeout"),
}


@on_a_server
def test_code_outside_requests_has_no_time_limits(live_app):
    ask = "SELECT current_setting('%s')" if KIND == "postgresql" else "SELECT @@%s"

    def limits(connection):
        results = [connection.exec_driver_sql(ask % name) for name in UNLIMITED[KIND]]
        return [answer.scalar() in ("0", 0) for answer in results]

    with live_app.app_context():
        with dialects.without_timeouts(sql.engine), sql.engine.connect() as connection:
            assert limits(connection) == [True, True]
        with sql.engine.connect() as connection:
            assert limits(connection) == [False, False]


# Outages


class Cable:
    """A TCP proxy from a local port to the server, which a test can interrupt."""

    def __init__(self, host, port):
        self.there, self.here = (host, port), ("127.0.0.1", 0)
        self.plug_in()

    def plug_in(self):
        self.listener = socket.create_server(self.here)
        self.here, self.ends = self.listener.getsockname(), []
        threading.Thread(target=self.accept, args=(self.listener,)).start()

    def accept(self, listener):
        with suppress(OSError):  # pulled
            while True:
                ends = [listener.accept()[0], socket.create_connection(self.there)]
                self.ends += ends
                for pair in (ends, ends[::-1]):
                    threading.Thread(target=self.carry, args=pair).start()

    def carry(self, source, target):
        with suppress(OSError):
            while some := source.recv(2**16):
                target.sendall(some)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def pull(self):
        for end in (self.listener, *self.ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.fixture
def cable(empty_uri):
    url = make_url(empty_uri)
    cable = Cable(url.host, url.port)
    yield cable
    cable.pull()


@pytest.fixture
def far_app(make_app, empty_uri, cable):
    """Yield an application that reaches its database through that cable."""
    url = make_url(empty_uri).set(port=cable.here[1])
    app = make_app(SQLALCHEMY_DATABASE_URI=url.render_as_string(False))
    create_tables_and_accounts(app)
    yield app
    close_stores(app)


def idle(app, number):
    """Leave that many idle connections for reading, and for writing."""
    with app.app_context():
        for engine in (sql.engine, app.extensions["statements"].engine):
            for connection in [engine.connect() for _ in range(number)]:
                connection.close()


CUT = {
    "postgresql": (
        "SELECT pid FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
        "SELECT pg_terminate_backend(%s)",
    ),
    "mariadb": (
        "SELECT id FROM information_schema.processlist WHERE db = %s",
        "KILL %s",
    ),
}


def cut(uri):
    """Have the server end every connection to this database; the number of them."""
    list_them, end = CUT[KIND]
    url = make_url(uri)
    elsewhere = url.set(database={"mariadb": "mysql"}.get(KIND, "postgres"))
    server = create_engine(elsewhere, isolation_level="AUTOCOMMIT")
    with connect(server) as ask:
        ids = ask(list_them, (url.database,)).scalars().all()
        for number in ids:
            ask(end, (number,))
        while ask(list_them, (url.database,)).all():
            time.sleep(0.01)
    server.dispose()
    return len(ids)


@on_a_server
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize(
    "verb, status, total", [("GET", 200, 1), ("POST", 201, 2), ("PUT", 200, 1)]
)
def test_a_connection_that_died_idle_is_replaced_unnoticed(
    live_app, empty_uri, verb, status, total, known
):
    client = as_account(live_app, "pythonista")
    gadget = client.post(GADGETS, json=LAMP).json["url"]
    idle(live_app, 5)
    assert cut(empty_uri) >= 10
    if not known:
        live_app.extensions["authenticator"].accounts.clear()
    url = gadget if verb == "PUT" else GADGETS
    body = None if verb == "GET" else LAMP
    assert client.open(url, method=verb, json=body).status_code == status
    assert client.get(GADGETS).json["meta"]["total"] == total


@on_a_server
def test_one_dead_connection_invalidates_those_as_old(live_app, empty_uri):
    idle(live_app, 5)
    cut(empty_uri)
    with live_app.app_context():
        with pytest.raises(RetryTransaction), unit_of_work():
            read("one", lambda: sql.select(sql.literal(1).label("one")))
        with connect(sql.engine) as first, connect(sql.engine) as second:
            assert first("SELECT 1").scalar() == second("SELECT 1").scalar() == 1


@on_a_server
def test_a_request_whose_connection_dies_is_retried(live_app, empty_uri):
    client = as_account(live_app, "pythonista")
    client.get(GADGETS)
    inserts = []

    def die(text, values):
        if text.startswith("INSERT INTO sample_gadgets"):
            inserts.append(text)
            if len(inserts) == 1:
                cut(empty_uri)

    with statement_executed.connected_to(die):
        response = client.post(GADGETS, json=LAMP)
    assert response.status_code == 201
    assert client.get(GADGETS).json["meta"]["total"] == 1
    assert len(inserts) == 2


@on_a_server
def test_a_connection_that_dies_in_commit_is_reported_once(live_app, empty_uri):
    client = as_account(live_app, "pythonista")
    client.get(GADGETS)
    times = []
    with at_each_commit(live_app, lambda: times.append(cut(empty_uri))):
        assert_unavailable(client.post(GADGETS, json=LAMP))
    assert len(times) == 1
    assert client.get(GADGETS).json["meta"]["total"] == 0


@on_a_server
@pytest.mark.parametrize("verb", ["GET", "POST"])
def test_a_server_that_is_gone_is_503_at_once_until_it_is_back(far_app, cable, verb):
    client = as_account(far_app, "pythonista")
    body = LAMP if verb == "POST" else None
    send = partial(client.open, GADGETS, method=verb, json=body)
    assert send().status_code < 300
    idle(far_app, 3)
    cable.pull()
    for _ in range(2):
        began = time.monotonic()
        assert_unavailable(send())
        assert time.monotonic() - began < 2
    assert client.get("/status/ready").json["database"] == "does not answer"
    cable.plug_in()
    assert send().status_code < 300
    assert client.get("/status/ready").status_code == 200
    assert client.get(GADGETS).json["meta"]["total"] == (2 if body else 0)


@on_a_server
def test_many_parallel_requests_survive_dead_connections(live_app, empty_uri):
    client = as_account(live_app, "pythonista")
    client.get(GADGETS)
    idle(live_app, 5)
    cut(empty_uri)

    def post():
        me = as_account(live_app, "pythonista")
        return me.post(GADGETS, json=LAMP).status_code

    assert at_once(*[post] * 12) == [201] * 12
    assert client.get(GADGETS).json["meta"]["total"] == 12


@pytest.mark.parametrize("action", ["RESTRICT", "NO ACTION"])
def test_a_record_that_is_referred_to_is_a_conflict_and_no_fault(make_app, action):
    with make_app().app_context(), sql.engine.connect() as connection:
        tables = MetaData()
        shelf = Table("a_shelf", tables, Column("id", Integer, primary_key=True))
        key = ForeignKey(shelf.c.id, ondelete=action)
        book = Table("a_book", tables, Column("shelf", Integer, key, nullable=False))
        tables.create_all(connection)
        connection.execute(shelf.insert(), {"id": 1})
        connection.execute(book.insert(), {"shelf": 1})
        with pytest.raises(IntegrityError) as referred, connection.begin_nested():
            connection.execute(shelf.delete())
        with pytest.raises(IntegrityError) as empty, connection.begin_nested():
            connection.execute(book.insert(), {"shelf": None})
        tables.drop_all(connection)
    assert dialects.is_client_conflict(referred.value)
    assert not dialects.is_client_conflict(empty.value)
