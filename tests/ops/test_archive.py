"""`flask backup` and `flask restore`, from SQLite to SQLite, and to and from a server.

TEST_DATABASE_URL names the server, if it is set.
"""

import math
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from zipfile import ZipFile

import orjson
import pytest
from flask_migrate import upgrade
from sqlalchemy import Engine, create_engine, event, inspect, make_url, select, text

from conftest import (
    DATABASE_SERVER,
    LAMP,
    PASSWORDS,
    as_account,
    close_stores,
    create_tables_and_accounts,
    empty_database,
)
from myapp.core.data import migrations
from myapp.core.data.models.idempotency import IdempotencyRecord
from myapp.core.data.models.sql_model import SqlModel
from myapp.core.data.session import sql, unit_of_work
from myapp.core.settings import database_uri as full
from myapp.ops import archive, databases
from support.discovery import CRUD_COLLECTIONS, ResourceFactory
from support.features.sample_chores.models import SampleChore
from support.features.sample_gadgets.models import SampleGadget

SERVER = os.environ.get("TEST_DATABASE_URL")
# From and to, by their names: the URL of a server, or None for SQLite.
WAYS = {(None, None): "SQLite-to-SQLite"}
if SERVER:
    WAYS |= {(SERVER, None): "server-to-SQLite", (None, SERVER): "SQLite-to-server"}
    WAYS[SERVER, SERVER] = "server-to-server"
NAMES = ["Küche 🏠 中文 עברית", "e\u0301 is not é", "'); DROP TABLE sample_gadgets; --"]
NAMES += ["%s %(name)s :name \\ \\0 \\N", " spaces ", "null", "\U0001f321" * 64]
NAMES += ["tab\tand\nline\r\n"]
GADGETS = "/api/v1/sample_gadgets/"
CHORES = "/api/v1/sample_chores/"
TASK = {"name": "New bulb", "task": "E27"}
LOGIN = "/api/v1/auth/login"
ME = {"username": "pythonista", "password": PASSWORDS["pythonista"]}
KEY = {"Idempotency-Key": "once"}
WRITTEN = re.compile(r"(.+\.zip): (\d+) bytes in \d+\.\d s\n")
PROGRESS = archive.PROGRESS.name
INTERRUPTED = "Error: Interrupted. Run the same command again to resume.\n"


@contextmanager
def application(make_app, folder, server=DATABASE_SERVER):
    """Yield an application on an empty database, of that server or in a file."""
    folder.mkdir(exist_ok=True)
    with empty_database(folder, server) as uri:
        app = make_app(SQLALCHEMY_DATABASE_URI=uri)
        yield app
        close_stores(app)


@contextmanager
def filled_application(*args):
    """Yield an application whose database has records of every kind."""
    with application(*args) as app:
        create_tables_and_accounts(app)
        create_rows(app)
        yield app


@pytest.fixture(scope="module")
def small_batches():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "BATCH_ROWS", 3)
        yield


@pytest.fixture(scope="module", params=WAYS, ids=WAYS.get)
def way(request, make_app, tmp_path_factory, small_batches):
    """Yield a database with records of every kind, its backup, and a restored database."""
    folder = tmp_path_factory.mktemp("way")
    with (
        filled_application(make_app, folder / "source", request.param[0]) as source,
        application(make_app, folder / "target", request.param[1]) as target,
    ):
        tokens = source.test_client().post(LOGIN, json=ME).json
        client = as_account(source, "pythonista")
        last = client.post(GADGETS, json=LAMP).json["id"]
        client.delete(f"{GADGETS}{last}")
        file = backup(source, folder / "file.zip")
        output = run(target, "restore", file)
        yield SimpleNamespace(
            source=source,
            target=target,
            held=everything(source),
            restored=everything(target),
            files=(file, backup(target, folder / "again.zip")),
            last=last,
            next=as_account(target, "pythonista").post(GADGETS, json=LAMP).json["id"],
            tokens=tokens,
            output=output,
        )


@pytest.fixture(scope="module")
def stored(make_app, tmp_path_factory, small_batches):
    folder = tmp_path_factory.mktemp("stored")
    with filled_application(make_app, folder / "source") as app:
        file = backup(app, folder / "file.zip")
        yield SimpleNamespace(app=app, file=file, held=everything(app))


@pytest.fixture
def filled(stored):
    """Return the application of the backup; its database has changed since."""
    client = as_account(stored.app, "pythonista")
    assert client.post(GADGETS, json=LAMP).status_code == 201
    return stored.app


@pytest.fixture
def empty(make_app, tmp_path):
    """Yield an application with an empty database."""
    with application(make_app, tmp_path / "empty") as app:
        yield app


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups"


@pytest.fixture
def sqlite_app(make_app, tmp_path, small_batches):
    """Yield an application with records of every kind in SQLite."""
    with filled_application(make_app, tmp_path / "source", None) as app:
        yield app


def create_rows(app):
    app.test_client().post(LOGIN, json=ME)
    client = as_account(app, "pythonista")
    for name in NAMES:
        assert client.post(GADGETS, json={**LAMP, "name": name}).status_code == 201
    assert client.post(GADGETS, json=LAMP, headers=KEY).status_code == 201
    for more in ({"done": True}, {"due_at": "2027-01-06T17:00:00Z"}):
        assert (
            client.post(CHORES, json={**TASK, "gadget": 1, **more}).status_code == 201
        )
    factory = ResourceFactory(client)
    factory.ids = {GADGETS: 1, CHORES: 1}
    for collection in CRUD_COLLECTIONS:
        is_new = collection.path not in factory.ids
        if is_new and issubclass(collection.model, SqlModel):
            factory.make(collection, 8)
    with app.app_context(), unit_of_work():
        for number in range(7):  # more than two batches
            at = datetime(2026, 11, 21, 7, 40, 0, number)
            key = {"account_id": number // 4, "key": f"unfinished {number}"}
            record = IdempotencyRecord(
                **key, request_hash=b"\0\xff\\x00'", created_at=at
            )
            sql.session.add(record)


def run(app, *args, code=0):
    """Run a command and return its output; check its exit code."""
    result = app.test_cli_runner().invoke(args=[*map(str, args)])
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


def backup(app, path, *options):
    """Write a backup and return its path."""
    file, size = WRITTEN.fullmatch(run(app, "backup", path, *options)).groups()
    assert os.stat(file).st_size == int(size)
    return file


def everything(app):
    """Return all rows of all tables, and the names of the tables."""
    with app.app_context(), sql.engine.connect() as connection:
        names = set(inspect(connection).get_table_names())
        rows = {
            table.name: sorted(map(repr, connection.execute(select(table))))
            for table in sql.metadata.sorted_tables
            if table.name in names
        }
        return rows, names


def execute(app, *statements):
    """Run statements on the database; return the first value of the last one."""
    engine = create_engine(full(address(app)), hide_parameters=True)
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
    """Call `function` after each statement that begins so, with its values."""

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
    """Raise KeyboardInterrupt before the commit of the batch with this number."""
    written = []

    def count(values):
        written.append(values)
        if len(written) == number:
            raise KeyboardInterrupt

    with after("UPDATE restore_progress", count):
        yield


# There and back


def test_every_row_and_the_next_id_is_restored_and_counted(way):
    assert way.restored == way.held == everything(way.source)
    filled = {"audit", "idempotency", "roles", "sample_chores", "sample_gadgets"}
    assert all(way.held[0][name] for name in filled | {"sessions", "users"})
    for name, rows in way.held[0].items():
        assert re.search(rf"^{name} +{len(rows)}  [0-9a-f]{{32}}$", way.output, re.M)
    assert re.search(r"\nRevision \w+\. Migrations: ok\n\Z", way.output)
    null = "SELECT count(*) FROM idempotency WHERE headers IS NULL"
    assert execute(way.source, null) == execute(way.target, null) == 7
    assert way.next == way.last + 1


def test_a_backup_is_a_zip_and_that_of_the_restored_database_is_the_same(way):
    command = [sys.executable, "-m", "zipfile", "--list", way.files[0]]
    listed = subprocess.run(command, capture_output=True, text=True).stdout
    assert "manifest.json" in listed and "users.ndjson.zst" in listed
    first, second = (orjson.loads(read(file, "manifest.json")) for file in way.files)
    assert first == second


def test_the_restored_service_works(way):
    client = as_account(way.target, "pythonista")
    listed = client.get(GADGETS, query_string={"per_page": len(NAMES)}).json
    assert [gadget["name"] for gadget in listed["items"]] == NAMES
    replayed = client.post(GADGETS, json=LAMP, headers=KEY)
    assert replayed.headers["Idempotent-Replayed"] == "true"
    assert client.get("/status/ready").json["migrations"] == "ok"
    token = {"Authorization": f"Bearer {way.tokens['refresh_token']}"}
    refreshed = way.target.test_client().post("/api/v1/auth/refresh", headers=token)
    assert refreshed.status_code == 200


def test_the_ids_of_a_table_without_rows_begin_with_one(make_app, empty, tmp_path):
    with application(make_app, tmp_path / "bare") as bare:
        with bare.app_context():
            upgrade()
        file = backup(bare, tmp_path / "bare.zip")
    run(empty, "restore", file)
    create_tables_and_accounts(empty)
    assert execute(empty, "SELECT min(id) FROM roles") == 1


def test_a_backup_is_a_snapshot(filled, empty, folder, make_app, monkeypatch):
    command = make_app(SQLALCHEMY_DATABASE_URI=address(filled))  # with its own engine
    monkeypatch.setattr(archive, "BATCH_ROWS", 1000)  # the writer adds many rows
    before, written, done = rows(filled, SampleGadget), [], threading.Event()

    def write():
        body = SampleGadget.body.validate(LAMP)
        task = SampleChore.body.validate(TASK)
        while not done.is_set():
            with filled.app_context(), unit_of_work():
                id = SampleGadget.create(owner_id=1, **body).id
                SampleChore.create(owner_id=1, **task | {"gadget": id})
            written.append(id)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while not written:
            done.wait(0.01)
        committed = len(written)
        file = backup(command, folder / "file.zip")
    finally:
        done.set()
        writer.join()
        close_stores(command)
    run(empty, "restore", file)
    there, here = rows(filled, SampleGadget), rows(empty, SampleGadget)
    assert here == there[: len(here)]
    assert len(here) >= len(before) + committed
    new = [gadget.id for gadget in here[len(before) :]]
    assert [chore.gadget for chore in rows(empty, SampleChore)][2:] == new


def rows(app, model):
    with app.app_context(), sql.engine.connect() as connection:
        table = model.__table__
        return connection.execute(select(table).order_by(table.c.id)).all()


def test_a_backup_ignores_an_open_transaction(filled, empty, folder):
    before = everything(filled)
    engine = create_engine(full(address(filled)))  # the command disposes of its own
    with engine.connect() as writer:
        writer.execute(text("UPDATE users SET generation = generation + 1"))
        file = backup(filled, folder)
        writer.commit()
    engine.dispose()
    run(empty, "restore", file)
    assert everything(empty) == before != everything(filled)


def test_an_older_backup_is_restored_at_its_own_revision(empty, filled, folder):
    file = backup(filled, folder)
    with filled.app_context():
        older = migrations.known_revisions() - migrations.head_revisions()
    assert older
    with ZipFile(file) as source, ZipFile(folder / "older.zip", "w") as target:
        manifest = orjson.loads(source.read("manifest.json"))
        manifest |= {"revision": sorted(older)[0], "tables": {}}
        target.writestr("manifest.json", orjson.dumps(manifest))
    assert "Migrations: pending" in run(empty, "restore", folder / "older.zip")
    assert "Ready" in run(empty, "deploy")


# Existing content


def test_rows_are_only_replaced_on_request(stored, filled, make_app, tmp_path):
    client, former = as_account(filled, "pythonista"), everything(filled)
    refused = run(filled, "restore", stored.file, code=1)
    assert refused.startswith("Error: The database is not empty: audit, ")
    assert everything(filled) == former != stored.held
    output = run(filled, "restore", stored.file, "--replace")
    assert everything(filled) == stored.held
    assert client.post(GADGETS, json=LAMP).status_code == 201
    (kept,) = re.findall(r"^The former content is in (\S+\.zip)\.$", output, re.M)
    with application(make_app, tmp_path / "former") as app:
        with app.app_context():
            upgrade()  # empty tables are no content
        run(app, "restore", kept)
        assert everything(app) == former


def test_a_database_without_our_tables_is_refused(stored, empty, folder):
    refused = "Error: The database has no tables of this service.\n"
    assert run(empty, "backup", folder, code=1) == refused
    assert names(folder) == []
    execute(empty, "CREATE TABLE theirs (id INTEGER)", "INSERT INTO theirs VALUES (1)")
    assert run(empty, "restore", stored.file, "--replace", code=1) == refused
    assert execute(empty, "SELECT count(*) FROM theirs") == 1


# Interruptions


def test_a_restore_that_is_interrupted_repeatedly_is_completed(stored, empty):
    batches = sum(math.ceil(len(rows) / 3) for rows in stored.held[0].values())
    for _ in range(batches - 1):
        with interrupted(2):
            assert run(empty, "restore", stored.file, code=1) == INTERRUPTED
    assert PROGRESS in everything(empty)[1]
    with interrupted(2):
        run(empty, "restore", stored.file)
    assert everything(empty) == stored.held


def test_a_killed_restore_loses_at_most_a_batch(stored, empty):
    def kill(values):
        written.append(values)
        if len(written) == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    def restore_until_killed():
        with after("INSERT INTO sample_gadgets", kill):
            run(empty, "restore", stored.file)

    written = []
    killed = get_context("fork").Process(target=restore_until_killed)
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert execute(empty, "SELECT count(*) FROM sample_gadgets") == 6
    with after("INSERT INTO sample_gadgets", written.extend):
        run(empty, "restore", stored.file)
    assert len(written) == len(stored.held[0]["sample_gadgets"]) - 6
    assert everything(empty) == stored.held


def test_an_unfinished_restore_needs_its_own_file(stored, filled, empty, folder):
    with interrupted(12):
        run(empty, "restore", stored.file, code=1)
    unfinished = "Error: The database is an unfinished restore.\n"
    assert run(empty, "backup", folder, code=1) == unfinished
    other = backup(filled, folder)
    assert "not empty" in run(empty, "restore", other, code=1)
    execute(empty, "UPDATE users SET status = 'blocked' WHERE id = 2")
    output = run(empty, "restore", stored.file, code=1)
    assert "Error: These tables differ from the backup: users. Use --replace" in output
    assert PROGRESS in everything(empty)[1]
    run(empty, "restore", other, "--replace")
    assert everything(empty) == everything(filled)


# Rows


@pytest.mark.no_database
def test_rows_that_the_database_refuses_are_named(make_app, tmp_path, sqlite_app):
    # This connection does not enforce foreign keys.
    execute(sqlite_app, "UPDATE sample_gadgets SET owner_id = 99 WHERE id = 5")
    file = backup(sqlite_app, tmp_path / "file.zip")
    with application(make_app, tmp_path / "target", None) as target:
        output = run(target, "restore", file, code=1)
    assert "refuses rows 4 to 6 of sample_gadgets: FOREIGN KEY constraint" in output


@pytest.mark.skipif("not SERVER or 'postgres' not in SERVER")
def test_a_text_that_postgresql_cannot_hold_is_refused(sqlite_app, tmp_path, empty):
    execute(sqlite_app, "UPDATE sample_gadgets SET name = 'a' || char(0) WHERE id = 5")
    file = backup(sqlite_app, tmp_path / "file.zip")
    assert "of sample_gadgets: " in run(empty, "restore", file, code=1)


@pytest.mark.parametrize(
    "table, assignments",
    [
        ("sample_gadgets", ["name = 'null '", "version = 2"]),
        ("sample_gadgets", ["created_at = '2026-11-21 07:40:00.000001'"]),
        ("sample_gadgets", ["location = type, type = location"]),
        ("sample_chores", ["gadget = NULL"]),
        ("idempotency", ["body = x'00'", "headers = '{}'"]),
        ("users", ["last_login_ip = ''"]),
    ],
)
@pytest.mark.no_database
def test_every_change_of_a_value_changes_the_checksum(sqlite_app, table, assignments):
    for assignment in assignments:
        before = table_checksum(sqlite_app, table)
        key = f"rowid = (SELECT max(rowid) FROM {table})"
        execute(sqlite_app, f"UPDATE {table} SET {assignment} WHERE {key}")
        assert table_checksum(sqlite_app, table) != before


def table_checksum(app, name):
    with app.app_context(), databases.snapshot() as connection:
        return archive.read_table(connection, sql.metadata.tables[name])


# Files that must not be restored


def read(file, name):
    with ZipFile(file) as source:
        return source.read(name)


def flipped(content):
    """Return a file with another bit in the rows of a table."""
    middle = content.index(b"users.ndjson.zst") + 100
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def without_a_row(content):
    lines = databases.zstd.decompress(content).splitlines(keepends=True)
    return databases.zstd.compress(b"".join(lines[:-1]))


ROWS, MANIFEST = "sample_gadgets.ndjson.zst", "manifest.json"
REVISION = re.compile(rb'"revision": *"\w+"')
DAMAGED = "Error: {} is damaged, or not a backup.\n"
NEWER = "at revision f00d, which this release does not know"


@pytest.mark.parametrize(
    "name, change, message",
    [
        (None, lambda content: content[: len(content) * 2 // 3], DAMAGED),
        (None, lambda content: content[:-1], DAMAGED),
        (None, flipped, DAMAGED),
        (None, lambda content: b"", DAMAGED),
        (None, lambda content: b"id,name\n", DAMAGED),
        (ROWS, without_a_row, DAMAGED),
        (ROWS, lambda content: b"", DAMAGED),
        (ROWS, lambda content: content[:-9], DAMAGED),
        (MANIFEST, lambda content: b"{}", DAMAGED),
        (MANIFEST, lambda content: content.replace(b"users", b"losers"), DAMAGED),
        (MANIFEST, lambda content: content[:-9], DAMAGED),
        (MANIFEST, lambda content: REVISION.sub(b'"revision": "f00d"', content), NEWER),
    ],
)
def test_an_unusable_file_is_refused(stored, filled, tmp_path, name, change, message):
    before, bad = everything(filled), tmp_path / "bad.zip"
    if name:  # a valid ZIP with a changed member
        with ZipFile(stored.file) as source, ZipFile(bad, "w") as target:
            for each in source.namelist():
                content = source.read(each)
                target.writestr(each, change(content) if each == name else content)
    else:
        bad.write_bytes(change(Path(stored.file).read_bytes()))
    refused = run(filled, "restore", bad, "--replace", code=1)
    expected = message.format(bad)
    assert refused == expected if message is DAMAGED else expected in refused
    assert everything(filled) == before


# The folder


def names(folder):
    return sorted(os.listdir(folder))


def test_a_folder_keeps_only_the_newest_backups_which_are_private(filled, folder):
    abandoned = folder / ".myapp-of-a-killed-command.part"
    abandoned.touch()
    os.utime(abandoned, (0, 0))
    ours = [f"myapp-20{year}0101T000000Z.zip" for year in (20, 21, 22, 99)]
    others = ["myapp-20200101.zip", "notes", f"{ours[0]}.gpg", f"old-{ours[0]}"]
    for name in ours + others:
        (folder / name).touch()
    file = Path(backup(filled, folder, "--keep", 3))
    assert names(folder) == sorted([ours[2], ours[3], file.name, *others])
    assert re.fullmatch(r"myapp-\d{8}T\d{6}Z\.zip", file.name)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_backup_needs_a_folder_and_overwrites_no_file(filled, folder):
    refused = run(filled, "backup", folder / "none" / "file.zip", code=1)
    assert refused.startswith("Error: ") and "No such file or directory" in refused
    assert names(folder) == []
    file = backup(filled, folder / "file.zip")
    refused = f"Error: {file} exists already.\n"
    assert run(filled, "backup", file, code=1) == refused


def test_a_full_disk_leaves_no_partial_backup(filled, folder):
    (folder / "myapp-20200101T000000Z.zip").touch()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        refused = run(filled, "backup", folder, "--keep", 1, code=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert refused.startswith("Error: ") and refused.count("\n") == 1
    assert names(folder) == ["myapp-20200101T000000Z.zip"]


# Databases


@pytest.mark.parametrize(
    "uri",
    ["sqlite:////nowhere/hunter2.sqlite3"]
    + [f"{kind}://me:hunter2@127.0.0.1:1/x" for kind in ("postgresql", "mysql")],
)
def test_no_message_has_the_password_of_a_database(make_app, stored, folder, uri):
    app = make_app(SQLALCHEMY_DATABASE_URI=uri)
    for command in (("backup", folder), ("restore", stored.file)):
        refused = run(app, *command, code=1)
        assert refused.startswith("Error: ") and refused.count("\n") == 1
        assert "hunter2" not in refused
    assert names(folder) == []
    close_stores(app)


@pytest.mark.skipif("not DATABASE_SERVER", reason="SQLite has no socket")
def test_backup_and_restore_work_through_a_unix_socket(filled, empty, make_app, folder):
    is_mariadb = not DATABASE_SERVER.startswith("postgres")
    setting = "current_setting('unix_socket_directories')"
    socket = execute(filled, f"SELECT {'@@socket' if is_mariadb else setting}")
    key = "unix_socket" if is_mariadb else "host"
    there, here = (
        make_app(
            SQLALCHEMY_DATABASE_URI=make_url(address(app))
            .set(host=None)
            .update_query_dict({key: socket})
            .render_as_string(hide_password=False)
        )
        for app in (filled, empty)
    )
    run(here, "restore", backup(there, folder))
    assert everything(empty) == everything(filled)


def test_a_progress_bar_is_shown_only_on_a_terminal(filled, folder, monkeypatch):
    assert "read" not in run(filled, "backup", folder / "first.zip")
    monkeypatch.setattr("click._termui_impl.isatty", lambda _: True)
    monkeypatch.setattr(sys.stderr.__class__, "isatty", lambda _: True, raising=False)
    assert archive.progress_bar("read", "users", 3).hidden is False
