"""`flask move-db` between SQLite and SQLite, and to and from a server.

TEST_DATABASE_URL names the server, where it is set.
"""

import math
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask_migrate import downgrade, upgrade
from sqlalchemy import Engine, create_engine, event, inspect, select, text
from sqlalchemy.exc import OperationalError

from conftest import (
    LAMP,
    PASSWORDS,
    as_account,
    close_stores,
    create_tables_and_accounts,
    empty_database,
)
from myapp.core.data import dialects, migrations
from myapp.core.data.models.idempotency import IdempotencyRecord
from myapp.core.data.models.sql_model import SqlModel
from myapp.core.data.redis import redis_store
from myapp.core.data.session import sql, unit_of_work
from myapp.core.settings import database_uri as full
from myapp.ops import copy_database
from myapp.roles.models import Role
from support.discovery import CRUD_COLLECTIONS, ResourceFactory

file_uri = "sqlite:///{}".format
SERVER = os.environ.get("TEST_DATABASE_URL")
HERE = [(None, None)]  # from and to: a server's address, or None for SQLite
FROM_SERVER = [(SERVER, None)] if SERVER else []
TO_SERVER = [(None, SERVER)] if SERVER else []
WITHIN_SERVER = [(SERVER, SERVER)] if SERVER else []
NAMES = [
    "Küche 🏠 中文 עברית",
    "e\u0301 is not é",
    "'); DROP TABLE sample_gadgets; --",
    "%s %(name)s :name \\ \\0 \\N",
    " spaces ",
    "null",
    "\U0001f321" * 64,
    "tab\tand\nline\r\n",
]
GADGETS = "/api/v1/sample_gadgets/"
FILLED = {
    *("audit", "idempotency", "roles", "sample_chores", "sample_gadgets"),
    *("sessions", "users"),
}
LOGIN = "/api/v1/auth/login"
ME = {"username": "pythonista", "password": PASSWORDS["pythonista"]}
KEY = {"Idempotency-Key": "once"}


def way_name(way):
    return "-to-".join("server" if server else "SQLite" for server in way)


@pytest.fixture(params=HERE, ids=way_name)
def way(request):
    return request.param


def also(*ways):
    """Try it these ways, too."""
    return pytest.mark.parametrize(
        "way", HERE + list(ways), ids=way_name, indirect=True
    )


@pytest.fixture(scope="module")
def populated(make_app, tmp_path_factory):
    """Return a SQLite file with records of every kind."""
    file = tmp_path_factory.mktemp("populated") / "empty.sqlite3"
    app = make_app(SQLALCHEMY_DATABASE_URI=file_uri(file))
    create_tables_and_accounts(app)
    create_rows(app)
    close_stores(app)
    return file


@pytest.fixture(scope="module")
def on_sqlite(make_app, tmp_path_factory):
    """Return the applications for the source and the target if that is a SQLite file.

    Their files do not exist when a test begins.
    """
    folders = [tmp_path_factory.mktemp(name) for name in ("source", "target")]
    uris = [file_uri(folder / "shared.sqlite3") for folder in folders]
    return [make_app(SQLALCHEMY_DATABASE_URI=uri) for uri in uris]


@contextmanager
def application(make_app, server, shared):
    """Yield an application on an empty database: on that server, or else `shared`."""
    if server:
        with empty_database(None, server) as uri:
            app = make_app(SQLALCHEMY_DATABASE_URI=uri)
            yield app
            close_stores(app)
        return
    redis_store.init_app(shared)
    shared.extensions["authenticator"].accounts.clear()
    yield shared
    close_stores(shared)
    for file in file_of(shared).parent.glob("*"):
        file.unlink()


def file_of(app):
    return Path(address(app).removeprefix("sqlite:///"))


@pytest.fixture
def source(way, make_app, populated, on_sqlite):
    """Yield an application with records of every kind in its database."""
    with application(make_app, way[0], on_sqlite[0]) as app:
        if way[0]:
            create_tables_and_accounts(app)
            create_rows(app)
        else:
            shutil.copy(populated, file_of(app))
        yield app


@pytest.fixture
def on_target(way, make_app, on_sqlite):
    """Yield the application on the target, whose database is empty."""
    with application(make_app, way[1], on_sqlite[1]) as app:
        yield app


@pytest.fixture
def target(on_target):
    """Return the URL of an empty database."""
    return address(on_target)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(copy_database, "COPY_BATCH_ROWS", 3)


def create_rows(app):
    app.test_client().post(LOGIN, json=ME)
    client = as_account(app, "pythonista")
    for name in NAMES:
        response = client.post(GADGETS, json={**LAMP, "name": name})
        assert response.status_code == 201
    assert client.post(GADGETS, json=LAMP, headers=KEY).status_code == 201
    task = {"name": "New bulb", "task": "E27", "gadget": 1}
    client.post("/api/v1/sample_chores/", json=task)
    client.post(
        "/api/v1/sample_chores/",
        json={**task, "done": True, "due_at": "2027-01-06T17:00:00Z"},
    )
    things = ResourceFactory(client)
    things.ids = {GADGETS: 1, "/api/v1/sample_chores/": 1}
    for collection in CRUD_COLLECTIONS:
        if collection.path not in things.ids and issubclass(collection.model, SqlModel):
            things.make(collection, 8)
    with app.app_context(), unit_of_work():
        for number in range(7):  # from both sides of a batch's end
            sql.session.add(
                IdempotencyRecord(
                    account_id=number // 4,
                    key=f"unfinished {number}",
                    request_hash=b"\0\xff\\x00'",
                    created_at=datetime(2026, 11, 21, 7, 40, 0, number),
                )
            )
        none = "UPDATE idempotency SET headers = NULL WHERE status IS NULL"
        sql.session.flush()
        sql.session.execute(text(none))


def move(app, uri, code=0):
    """Run the command and return its output; it ends with this code."""
    result = app.test_cli_runner().invoke(args=["move-db", "--to", uri])
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


def everything(app):
    """All rows of all tables."""
    with app.app_context(), sql.engine.connect() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(select(table))))
            for table in sql.metadata.sorted_tables
        }


def read_tables(uri):
    engine = create_engine(full(uri))
    names = set(inspect(engine).get_table_names())
    engine.dispose()
    return names


def is_unfinished(uri):
    return "move_db" in read_tables(uri)


def run(uri, *statements):
    """Run statements on a database; the first value of the last one, where it has any."""
    engine = create_engine(full(uri), hide_parameters=True)
    with engine.begin() as connection:
        for statement in statements:
            result = connection.execute(text(statement))
        value = result.scalar() if result.returns_rows else None
    engine.dispose()
    return value


def address(app):
    return app.config["SQLALCHEMY_DATABASE_URI"]


@contextmanager
def after(beginning, function):
    """Call `function` with the values of every statement that begins so, once it ran."""

    def listen(_connection, _cursor, statement, values, _context, _many):
        if statement.startswith(beginning):
            function(values)

    event.listen(Engine, "after_cursor_execute", listen)
    try:
        yield
    finally:
        event.remove(Engine, "after_cursor_execute", listen)


@contextmanager
def interrupted(number):
    """Ctrl-C when a batch is written, and not yet committed: in the one of that number."""
    written = []

    def count(values):
        written.append(values)
        if len(written) == number:
            raise KeyboardInterrupt

    with after("UPDATE move_db", count):
        yield


def amid_gadgets(app):
    """Return the number of a batch after which only some gadgets are copied."""
    counts = {name: len(rows) for name, rows in everything(app).items()}
    names = list(counts)
    former = names[: names.index("sample_gadgets")]
    return sum(math.ceil(counts[name] / 3) for name in former) + 3


# Everything


@pytest.fixture(
    scope="module", params=HERE + FROM_SERVER + TO_SERVER + WITHIN_SERVER, ids=way_name
)
def moved(request, make_app, tmp_path_factory):
    """Yield a completed copy, with the contents of the source and of the target."""
    folders = [tmp_path_factory.mktemp(name) for name in ("source", "target")]
    with ExitStack() as stack:
        uris = [
            stack.enter_context(empty_database(folder, server))
            for folder, server in zip(folders, request.param)
        ]
        source, target = (make_app(SQLALCHEMY_DATABASE_URI=uri) for uri in uris)
        stack.callback(close_stores, source)
        stack.callback(close_stores, target)
        create_tables_and_accounts(source)
        create_rows(source)
        tokens = source.test_client().post(LOGIN, json=ME).json
        client = as_account(source, "pythonista")
        last = client.post(GADGETS, json=LAMP).json["id"]
        client.delete(f"{GADGETS}{last}")
        before = everything(source)
        stack.enter_context(pytest.MonkeyPatch.context()).setattr(
            copy_database, "COPY_BATCH_ROWS", 3
        )
        output = move(source, uris[1])
        yield SimpleNamespace(
            source=source,
            target=target,
            before=before,
            after=everything(target),
            tokens=tokens,
            last=last,
            output=output,
        )


def test_everything_is_copied(moved):
    assert moved.after == moved.before == everything(moved.source)
    assert all(moved.before[name] for name in FILLED), "nothing to move in a table"


def test_the_output_lists_the_rows_of_each_table_and_the_next_step(moved):
    for name, rows in moved.before.items():
        assert re.search(rf"\n{name} +{len(rows)}  [0-9a-f]{{32}}\n", moved.output)
    assert moved.output.endswith("and start the service.\n")


def test_no_other_table_stays_on_the_target(moved):
    assert read_tables(address(moved.target)) == {*moved.before, "alembic_version"}


def test_a_null_in_a_json_column_stays_null(moved):
    none = "SELECT count(*) FROM idempotency WHERE headers IS NULL"
    for app in (moved.source, moved.target):
        assert run(address(app), none) == 7


def test_the_service_works_on_the_target(moved):
    client = as_account(moved.target, "pythonista")
    listed = client.get(GADGETS, query_string={"per_page": len(NAMES)}).json
    assert [gadget["name"] for gadget in listed["items"]] == NAMES
    replayed = client.post(GADGETS, json=LAMP, headers=KEY)
    assert replayed.headers["Idempotent-Replayed"] == "true"
    assert client.get("/status/ready").json["migrations"] == "ok"
    kept = {"Authorization": f"Bearer {moved.tokens['refresh_token']}"}
    refreshed = moved.target.test_client().post("/api/v1/auth/refresh", headers=kept)
    assert refreshed.status_code == 200


def test_an_assigned_id_is_never_used_again(moved):
    client = as_account(moved.target, "pythonista")
    assert client.post(GADGETS, json=LAMP).json["id"] == moved.last + 1


@also(*FROM_SERVER, *TO_SERVER)
def test_the_ids_of_a_table_that_was_always_empty_begin_with_one(
    way, make_app, target, tmp_path
):
    folder = tmp_path / "source"
    folder.mkdir()
    with empty_database(folder, way[0]) as uri:
        source = make_app(SQLALCHEMY_DATABASE_URI=uri)
        with source.app_context():
            upgrade()
        move(source, target)
        close_stores(source)
    fill_in = make_app(SQLALCHEMY_DATABASE_URI=target)
    with fill_in.app_context(), unit_of_work():
        Role.ensure_builtin_roles()
    assert run(target, "SELECT min(id) FROM roles") == 1
    close_stores(fill_in)


@also(*TO_SERVER)
def test_ids_beyond_the_counter_are_not_assigned_again(source, target, on_target):
    run(address(source), "UPDATE sample_gadgets SET id = 700 WHERE id = 3")
    move(source, target)
    client = as_account(on_target, "pythonista")
    assert client.post(GADGETS, json=LAMP).json["id"] == 701


@also(*FROM_SERVER)
def test_the_source_is_read_only_during_the_copy(source, target):
    impatient = {
        "sqlite": {"timeout": 0.05},
        "postgresql": {"options": "-c lock_timeout=50ms"},
    }
    uri = full(address(source))
    args = impatient.get(
        uri.partition("+")[0].partition(":")[0],
        {"init_command": "SET SESSION lock_wait_timeout = 1"},
    )
    seen = []

    def try_it(_values):
        if seen:
            return
        engine = create_engine(uri, connect_args=args)
        with engine.connect() as connection:
            seen.append(connection.scalar(text("SELECT count(*) FROM sample_gadgets")))
        with pytest.raises(OperationalError), engine.begin() as connection:
            connection.execute(text("UPDATE sample_gadgets SET name = 'late'"))
        engine.dispose()

    with after("UPDATE move_db", try_it):
        move(source, target)
    assert seen == [len(NAMES) + 1]
    run(uri, "UPDATE sample_gadgets SET name = 'in time'")  # the lock is gone


def test_a_progress_bar_is_shown_only_on_a_terminal(source, target, monkeypatch):
    all_gadgets = f"{len(NAMES) + 1}/{len(NAMES) + 1}"
    assert all_gadgets not in move(source, target)
    run(target, *(f"DROP TABLE {name}" for name in sorted(read_tables(target))))
    monkeypatch.setattr("click._termui_impl.isatty", lambda _: True)
    assert all_gadgets in move(source, target)


# Broken off


@also(*TO_SERVER)
def test_a_copy_that_is_interrupted_repeatedly_is_completed(source, target, on_target):
    before = everything(source)
    batches = sum(math.ceil(len(rows) / 3) for rows in before.values())
    for _ in range(batches - 1):
        with interrupted(2):
            broken_off = "Error: Interrupted. Run the same command again to resume.\n"
            assert move(source, target, 1).endswith(broken_off)
    with interrupted(2):
        move(source, target)
    assert everything(on_target) == before


KILLED = """
import os, signal, sys
import pytest
from sqlalchemy import Engine, event
from myapp import create_app
from myapp.ops import copy_database
from support.features import SERVED
from support.migrations import use_migrations

use_migrations(pytest.MonkeyPatch(), sys.argv[3])
copy_database.COPY_BATCH_ROWS = 3
written = []

@event.listens_for(Engine, "after_cursor_execute")
def kill(_connection, _cursor, statement, *_):
    if statement.startswith("INSERT INTO sample_gadgets"):
        written.append(statement)
        if len(written) == 3:
            os.kill(os.getpid(), signal.SIGKILL)

stores = {"SQLALCHEMY_DATABASE_URI": sys.argv[1], "REDIS_URL": "unix:///no"}
app = create_app("testing", features=SERVED, **stores)
app.test_cli_runner().invoke(args=["move-db", "--to", sys.argv[2]])
"""


@also(*TO_SERVER)
def test_a_killed_copy_loses_at_most_a_batch_and_resumes(source, target, on_target):
    before = everything(source)
    arguments = address(source), target, migrations.MIGRATIONS
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, *arguments]
    ended = subprocess.run(command, env=os.environ | path)
    assert ended.returncode == -signal.SIGKILL
    assert run(target, "SELECT count(*) FROM sample_gadgets") == 6
    written = []
    with after("INSERT INTO sample_gadgets", written.extend):
        move(source, target)
    assert len(written) == len(before["sample_gadgets"]) - 6
    assert everything(on_target) == before


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sample_gadgets SET search = 'else' WHERE id = 1",
        "DELETE FROM sample_gadgets WHERE id = 2",
        "UPDATE sample_gadgets SET id = 700 WHERE id = 3",
    ],
)
def test_a_change_of_the_source_in_between_is_detected(source, target, change):
    with interrupted(amid_gadgets(source)):
        assert "Interrupted." in move(source, target, 1)
    assert run(target, "SELECT count(*) FROM sample_gadgets") > 3
    run(address(source), change)
    output = move(source, target, 1)
    assert (
        "These tables differ, the source is above the target: sample_gadgets." in output
    )
    assert output.endswith("Create an empty target, and start again.\n")
    assert len(re.findall(r"\nsample_gadgets +\d+ ", output)) == 2
    assert is_unfinished(target)


def test_rows_added_to_the_source_in_between_are_copied(source, target, on_target):
    with interrupted(amid_gadgets(source)):
        move(source, target, 1)
    as_account(source, "pythonista").post(GADGETS, json=LAMP)
    move(source, target)
    assert everything(on_target) == everything(source)


def test_a_change_of_the_target_in_between_is_detected(source, target):
    with interrupted(9):
        move(source, target, 1)
    run(target, "UPDATE users SET status = 'blocked' WHERE id = 2")
    assert "target: users." in move(source, target, 1)


# The checksum


@pytest.fixture
def checksum(source):
    """Return the checksum of the source's table of that name."""

    def checksum(name):
        table = sql.metadata.tables[name]
        with source.app_context(), sql.engine.connect() as connection:
            with copy_database.progress_bar("", table, 0) as bar:
                return copy_database.table_checksum(connection, table, bar)[1]

    return checksum


@pytest.mark.parametrize(
    "table, assignment",
    [
        ("sample_gadgets", "name = 'null '"),
        ("sample_gadgets", "name = 'NULL'"),
        ("sample_gadgets", "version = 2"),
        ("sample_gadgets", "created_at = '2026-11-21 07:40:00.000001'"),
        ("sample_gadgets", "id = 100"),
        ("sample_gadgets", "location = type, type = location"),
        ("sample_chores", "done = NOT done"),
        ("sample_chores", "gadget = NULL"),
        ("sample_chores", "due_at = '2027-01-06 17:00:01'"),
        ("idempotency", "body = x'00'"),
        ("idempotency", "headers = '{}'"),
        ("idempotency", "request_hash = x'00ff'"),
        ("users", "last_login_ip = ''"),
        ("users", "generation = generation + 1"),
    ],
)
def test_every_change_of_a_value_changes_the_checksum(
    source, checksum, table, assignment
):
    before = checksum(table)
    key = "rowid = (SELECT max(rowid) FROM " + table + ")"
    run(address(source), f"UPDATE {table} SET {assignment} WHERE {key}")
    assert checksum(table) != before


def test_values_that_change_places_change_the_checksum(source, checksum):
    before = checksum("sample_gadgets")
    run(address(source), "UPDATE sample_gadgets SET name = 'x' WHERE id = 1")
    one = checksum("sample_gadgets")
    run(
        address(source),
        f"UPDATE sample_gadgets SET name = '{NAMES[0]}' WHERE id = 2",
    )
    assert len({before, one, checksum("sample_gadgets")}) == 3


def test_json_that_means_the_same_has_the_same_checksum(source, checksum):
    write = "UPDATE idempotency SET headers = '{}' WHERE status IS NULL"
    run(address(source), write.format('{"a": 1, "b": [2]}').replace(":", "\\:"))
    before = checksum("idempotency")
    run(address(source), write.format('{"b":[2],  "a":1}').replace(":", "\\:"))
    assert checksum("idempotency") == before


# Refused


@pytest.mark.parametrize("folder", ["{0}", "{0}/../{0.name}", "{1}/link"])
def test_the_source_itself_is_refused(source, tmp_path, folder):
    file = file_of(source)
    (tmp_path / "link").symlink_to(file.parent)
    before = everything(source)
    same = file_uri(folder.format(file.parent, tmp_path) + f"/{file.name}")
    assert move(source, same, 1) == "Error: The target is the source.\n"
    assert everything(source) == before
    assert not is_unfinished(same)


@also(*TO_SERVER)
def test_a_target_with_rows_is_refused_and_left_alone(source, target, on_target):
    create_tables_and_accounts(on_target)
    before = everything(on_target)
    refused = "Error: The target is not empty: audit, roles, users.\n"
    assert move(source, target, 1) == refused
    assert everything(on_target) == before
    assert not is_unfinished(target)


@also(*TO_SERVER)
def test_a_target_with_foreign_tables_is_refused(source, target):
    run(target, "CREATE TABLE theirs (id INTEGER)")
    assert move(source, target, 1) == "Error: The target is not empty: theirs.\n"
    assert read_tables(target) == {"theirs"}


@also(*TO_SERVER)
def test_a_target_with_empty_tables_is_accepted(source, target, on_target):
    with on_target.app_context():
        upgrade()
    move(source, target)
    assert everything(on_target) == everything(source)


def test_a_target_that_cannot_have_our_tables_is_refused(source, target):
    run(target, "CREATE TABLE users (id INTEGER)")
    output = move(source, target, 1)
    assert output.startswith("Error: The tables of the target cannot be created: ")
    assert output.endswith("Create an empty target, and start again.\n")


def test_the_unfinished_copy_of_another_source_is_refused(
    source, target, make_app, tmp_path
):
    other = make_app(SQLALCHEMY_DATABASE_URI=file_uri(tmp_path / "other.sqlite3"))
    create_tables_and_accounts(other)
    with interrupted(2):
        move(other, target, 1)
    refused = move(source, target, 1)
    assert refused.startswith("Error: The target is an unfinished copy of sqlite:///")
    assert f"{tmp_path}/other.sqlite3, not of sqlite:///" in refused
    close_stores(other)


def test_an_unfinished_copy_is_no_source(source, target, on_target, tmp_path):
    with interrupted(9):
        move(source, target, 1)
    refused = "Error: The source is itself an unfinished copy.\n"
    assert move(on_target, file_uri(tmp_path / "third.sqlite3"), 1) == refused


def test_a_source_that_is_not_up_to_date_is_refused(source, target):
    with source.app_context():
        downgrade()
    refused = "Error: The migrations of the source: pending: run `flask deploy`.\n"
    assert move(source, target, 1) == refused


def test_a_source_with_an_open_write_is_refused(source, target, monkeypatch):
    monkeypatch.setattr(dialects, "LOCK_TIMEOUT_SECONDS", 0.05)
    writer = create_engine(address(source), isolation_level="AUTOCOMMIT")
    with writer.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        refused = move(source, target, 1)
        connection.exec_driver_sql("ROLLBACK")
    assert refused.startswith("Error: The source cannot be locked. Stop the service")
    writer.dispose()


def test_a_row_that_the_target_refuses_is_named_and_can_be_corrected(
    source, target, on_target
):
    run(address(source), "UPDATE sample_gadgets SET owner_id = 99 WHERE id = 5")
    output = move(source, target, 1)
    assert "Error: The target refuses rows of sample_gadgets from 4 on: " in output
    run(address(source), "UPDATE sample_gadgets SET owner_id = 1 WHERE id = 5")
    move(source, target)
    assert everything(on_target) == everything(source)


@pytest.mark.skipif("not SERVER or 'postgres' not in SERVER")
@pytest.mark.parametrize("way", TO_SERVER, ids=way_name, indirect=True)
def test_a_text_that_postgresql_cannot_hold_is_refused(source, target):
    run(address(source), "UPDATE sample_gadgets SET name = 'a' || char(0) WHERE id = 5")
    output = move(source, target, 1)
    assert "Error: The target refuses rows of sample_gadgets from 4 on: " in output


@pytest.mark.parametrize(
    "uri, why",
    [
        ("postgresql://me:hunter2@host:port/x", "--to is not a valid database URL."),
        ("hunter2", "--to is not a valid database URL."),
        ("", "--to is not a valid database URL."),
        ("mysql://me:hunter2中@127.0.0.1/x", "--to is not a valid database URL."),
        (
            "mysql://127.0.0.1/x?connect_timeout=hunter2",
            "--to is not a valid database URL.",
        ),
        ("mysql://127.0.0.1/x?hunter2=1", "--to is not a valid database URL."),
        ("sqlite:///x?timeout=hunter2", "--to is not a valid database URL."),
        ("mysql://me:my@hunter2@127.0.0.1/x", "--to contains two @"),
        ("postgresql://me:my@hunter2/is@127.0.0.1/x", "--to contains two @"),
        ("oracle://me:hunter2@host/x", "--to must begin with "),
        ("postgresql+asyncpg://me:hunter2@host/x", "--to must begin with "),
        ("mysql://me:hunter2@127.0.0.1", "--to contains no name of a database."),
        ("sqlite://", "--to contains no name of a database."),
        ("sqlite:///:memory:", "--to contains no path of a file."),
        (
            "sqlite:////nowhere/hunter2.sqlite3",
            "The target does not answer: unable to open database file",
        ),
        (
            "postgres://me:hunter2@127.0.0.1:1/x",
            "The target does not answer: connection failed",
        ),
        (
            "postgresql://127.0.0.1:1/x?user=me&password=hunter2",
            "The target does not answer: connection failed",
        ),
        ("mysql://me:hunter2@127.0.0.1:1/x", "The target does not answer: (2003, "),
        ("mariadb://me:hunter2@127.0.0.1:1/x", "The target does not answer: (2003, "),
    ],
)
def test_an_unreachable_address_is_refused_without_its_password(source, uri, why):
    output = move(source, uri, 1)
    assert output.startswith(f"Error: {why}")
    assert copy_database.RESUME_HINT not in output, "nothing has begun"
    assert "hunter2" not in output
