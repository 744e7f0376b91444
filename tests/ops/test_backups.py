"""`flask backup` and `flask restore`, on the database that the tests use."""

import fcntl
import os
import re
import resource
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from click import ClickException
from sqlalchemy import create_engine, inspect, make_url, select, text

from conftest import (
    DATABASE_SERVER,
    LAMP,
    PASSWORDS,
    as_account,
    close_stores,
    create_tables_and_accounts,
    empty_database,
)
from myapp.core.data.session import sql, unit_of_work
from myapp.core.settings import database_uri as full
from myapp.ops import copy_database
from myapp.ops.backups import commands, mariadb, postgresql
from myapp.ops.backups.commands import zstd
from support.features.sample_chores.models import SampleChore
from support.features.sample_gadgets.models import SampleGadget

GADGETS = "/api/v1/sample_gadgets/"
ME = {"username": "pythonista", "password": PASSWORDS["pythonista"]}
KIND = (
    (DATABASE_SERVER or "sqlite")
    .partition(":")[0]
    .partition("+")[0]
    .replace("mysql", "mariadb")
)
SUFFIX = {"sqlite": "sqlite3", "postgresql": "dump", "mariadb": "sql"}[KIND]
WRITTEN = re.compile(r"(.+/myapp-\d{8}T\d{6}Z\.\w+\.zst): (\d+) bytes in \d+\.\d s\n")
on_server = pytest.mark.skipif("not DATABASE_SERVER", reason="SQLite needs no tool")


@contextmanager
def database(make_app, folder):
    """Yield an application on an empty database of its own."""
    with empty_database(folder) as uri:
        app = make_app(SQLALCHEMY_DATABASE_URI=uri)
        yield app
        close_stores(app)


@pytest.fixture(scope="module")
def stored_backup(make_app, tmp_path_factory):
    """Yield a backup of an application, its contents, and the last id that was assigned."""
    with database(make_app, tmp_path_factory.mktemp("stored_backup")) as app:
        create_tables_and_accounts(app)
        client = as_account(app, "pythonista")
        names = [
            "Küche 🏠 中文",
            "'); DROP TABLE sample_gadgets; --",
            "\\N\t\\",
            "gone",
        ]
        for name in names:
            response = client.post(GADGETS, json={**LAMP, "name": name})
        assert client.delete(response.headers["Location"]).status_code == 204
        client.post(GADGETS, json=LAMP, headers={"Idempotency-Key": "once"})
        last = client.post(GADGETS, json=LAMP).json["id"]
        assert client.delete(f"{GADGETS}{last}").status_code == 204
        file = backup(app, tmp_path_factory.mktemp("backups"))
        yield SimpleNamespace(app=app, file=file, held=everything(app), last=last)


@pytest.fixture
def changed(stored_backup):
    """Return the application whose database has changed since that backup."""
    client = as_account(stored_backup.app, "pythonista")
    assert client.post(GADGETS, json=LAMP).status_code == 201
    client.delete(f"{GADGETS}1")
    with stored_backup.app.app_context(), unit_of_work():
        sql.session.execute(text("CREATE TABLE IF NOT EXISTS later (id INTEGER)"))
    return stored_backup.app


@pytest.fixture
def empty(make_app, tmp_path):
    """Yield an application whose database is empty."""
    with database(make_app, tmp_path) as app:
        yield app


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups"


def run(app, *args, code=0):
    """Run the command and return its output; check its exit code."""
    result = app.test_cli_runner().invoke(args=[*map(str, args)])
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert code == 0 or result.output.count("\n") == 1, "one line"
    return result.output


def backup(app, folder, *options):
    """Write a backup and return its path."""
    path, size = WRITTEN.fullmatch(run(app, "backup", folder, *options)).groups()
    assert os.stat(path).st_size == int(size)
    return path


def everything(app):
    """How many rows each table has, and their checksum."""
    with app.app_context(), sql.engine.connect() as connection:
        names = inspect(connection).get_table_names()
        rows = {}
        for table in sql.metadata.sorted_tables:
            if table.name in names:
                with copy_database.progress_bar("", table, 0) as bar:
                    rows[table.name] = copy_database.table_checksum(
                        connection, table, bar
                    )
        return rows, sorted(names)


def address(app):
    return app.config["SQLALCHEMY_DATABASE_URI"]


def names(folder):
    return sorted(os.listdir(folder))


def altered(saved, folder, change):
    """Write a complete backup of changed content and return its path."""
    with zstd.open(saved.file) as packed:
        content = change(packed.read())
    path = folder / "altered.zst"
    path.write_bytes(zstd.compress(content))
    return path


# There and back


def test_a_restored_service_works(stored_backup, empty):
    output = run(empty, "restore", stored_backup.file)
    assert re.fullmatch(
        r"Revision \w+: 2 accounts(, \d+ \w+)*\.\nMigrations: ok\n", output
    )
    assert everything(empty) == stored_backup.held
    stranger = empty.test_client()
    token = stranger.post("/api/v1/auth/login", json=ME).json["access_token"]
    stranger.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    shown = stranger.get(GADGETS).json["items"]
    assert [gadget["name"] for gadget in shown][:2] == [
        "Küche 🏠 中文",
        "'); DROP TABLE sample_gadgets; --",
    ]
    again = {"json": LAMP, "headers": {"Idempotency-Key": "once"}}
    assert stranger.post(GADGETS, **again).json["id"] == shown[-1]["id"]
    assert stranger.post(GADGETS, json=LAMP).json["id"] == stored_backup.last + 1


def test_a_restore_undoes_later_changes(stored_backup, changed, make_app):
    client = as_account(changed, "pythonista")
    former = everything(changed)
    elsewhere = make_app(SQLALCHEMY_DATABASE_URI=address(changed))
    refused = run(elsewhere, "restore", stored_backup.file, code=1)
    assert refused.startswith("Error: The database is not empty: alembic_version, ")
    assert everything(changed) == former != stored_backup.held
    run(elsewhere, "restore", stored_backup.file, "--replace")
    assert len(client.get(GADGETS).json["items"]) == 4, "on the connections it had"
    assert everything(changed) == stored_backup.held
    assert client.post(GADGETS, json=LAMP).json["id"] == stored_backup.last + 1


def test_a_backup_is_a_consistent_snapshot(changed, empty, folder):
    before, pairs, done = rows(changed, SampleGadget), [], threading.Event()

    def write():
        body = SampleGadget.body.validate(LAMP)
        task = SampleChore.body.validate({"name": "New bulb", "task": "E27"})
        while not done.is_set():
            with changed.app_context(), unit_of_work():
                id = SampleGadget.create(owner_id=1, **body).id
                SampleChore.create(owner_id=1, **task | {"gadget": id})
            pairs.append(id)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while not pairs:
            done.wait(0.01)
        known = len(pairs)
        file = backup(changed, folder)
    finally:
        done.set()
        writer.join()
    run(empty, "restore", file)
    there, here = rows(changed, SampleGadget), rows(empty, SampleGadget)
    assert here == there[: len(here)]
    assert len(here) >= len(before) + known
    assert [chore.gadget for chore in rows(empty, SampleChore)] == [
        gadget.id for gadget in here[len(before) :]
    ]


def rows(app, model):
    with app.app_context(), sql.engine.connect() as connection:
        table = model.__table__
        return connection.execute(select(table).order_by(table.c.id)).all()


def test_an_open_transaction_neither_delays_a_backup_nor_is_in_it(
    changed, empty, folder
):
    run_sql = text("UPDATE users SET generation = generation + 1")
    engine = create_engine(full(address(changed)))
    before = everything(changed)
    with engine.connect() as writer:
        writer.execute(run_sql)
        file = backup(changed, folder)
        writer.commit()
    engine.dispose()
    run(empty, "restore", file)
    assert everything(empty) == before != everything(changed)


@on_server
def test_backup_and_restore_work_through_a_unix_socket(
    changed, empty, make_app, folder
):
    with changed.app_context(), sql.engine.connect() as connection:
        shown = "@@socket" if KIND == "mariadb" else "current_setting('%s')"
        result = connection.exec_driver_sql(
            "SELECT " + shown.replace("%s", "unix_socket_directories")
        )
        socket = result.scalar()
    key = "unix_socket" if KIND == "mariadb" else "host"
    uris = [
        make_url(address(app)).set(host=None).update_query_dict({key: socket})
        for app in (changed, empty)
    ]
    there, here = (
        make_app(SQLALCHEMY_DATABASE_URI=uri.render_as_string(hide_password=False))
        for uri in uris
    )
    run(here, "restore", backup(there, folder))
    assert everything(empty) == everything(changed)


# Files that must not be restored


def cut(content):
    if KIND == "mariadb":  # where a statement ends, or it would tell itself
        return content.rpartition(b"DROP TABLE")[0]
    return content[: len(content) * 2 // 3]


def with_a_fault(content):
    """Return the content with an error that only the database finds, during the restore."""
    if KIND == "mariadb":
        return content.replace(
            b"\n-- Dump completed", b"\nNONSENSE;\n-- Dump completed"
        )
    if KIND == "sqlite":
        page = len(content) // 2 // 4096 * 4096
        return content[:page] + b"\xff" * 4096 + content[page + 4096 :]
    return content.replace(b"Lamp\tLumen", b"Lamp\\Lumen", 1)


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "change, why",
    [
        (cut, "is damaged or not whole."),
        (lambda content: content[:-1], "is damaged or not whole."),
        (flipped, "is damaged or not whole."),
        (lambda content: b"", "is damaged or not whole."),
        (lambda content: b"id,name\n", "is damaged or not whole."),
        (lambda content: zstd.compress(b"id,name\n"), "is no backup."),
    ],
    ids=["cut", "all but a byte", "a bit", "empty", "text", "packed text"],
)
def test_a_damaged_file_is_refused_and_nothing_happens(
    stored_backup, changed, tmp_path, change, why
):
    before = everything(changed)
    (tmp_path / "bad").write_bytes(change(Path(stored_backup.file).read_bytes()))
    refused = run(changed, "restore", tmp_path / "bad", "--replace", code=1)
    assert refused == f"Error: {tmp_path}/bad {why}\n"
    assert everything(changed) == before


@pytest.mark.parametrize("change", [cut, with_a_fault])
@pytest.mark.parametrize("full", [True, False], ids=["replace", "empty"])
def test_a_failed_restore_changes_nothing(
    stored_backup, request, tmp_path, change, full
):
    app = request.getfixturevalue("changed" if full else "empty")
    before = everything(app)
    file = altered(stored_backup, tmp_path, change)
    run(app, "restore", file, "--replace", code=1)
    assert everything(app) == before
    if full:
        client = as_account(app, "pythonista")
        assert client.post(GADGETS, json=LAMP).status_code == 201


def test_a_backup_of_another_service_is_refused(changed, empty, folder):
    with empty.app_context():
        with unit_of_work():
            sql.session.execute(text("CREATE TABLE theirs (id INTEGER)"))
        commands.pack(folder / "theirs", commands.backend().dump)
    before = everything(changed)
    assert "alembic_version" in run(
        changed, "restore", folder / "theirs", "--replace", code=1
    )
    assert everything(changed) == before


@pytest.mark.parametrize(
    "name, begins",
    [
        ("SQLite", b"SQLite format 3\0"),
        ("PostgreSQL", b"PGDMP"),
        (
            "MariaDB",
            b"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19",
        ),
        ("MariaDB", b"-- MariaDB dump 10.19"),
    ],
)
def test_a_backup_of_another_kind_is_refused(changed, tmp_path, name, begins):
    if name.lower() == KIND:
        return
    before = everything(changed)
    file = tmp_path / "other.zst"
    file.write_bytes(zstd.compress(begins + b"..."))
    refused = run(changed, "restore", file, "--replace", code=1)
    assert refused.startswith(f"Error: {file} is a backup of {name}: this is ")
    assert everything(changed) == before


# The folder


def test_a_backup_is_private_and_leaves_no_other_file(changed, folder):
    half = folder / commands.WORK_FOLDER
    half.mkdir()
    (half / "of one that was killed").touch()
    file = backup(changed, folder)
    assert names(folder) == [os.path.basename(file)]
    assert file.endswith(f"Z.{SUFFIX}.zst")
    assert os.stat(file).st_mode & 0o777 == 0o600


def test_only_the_newest_of_ours_are_kept(changed, folder):
    ours = [
        f"myapp-{moment}.{suffix}.zst"
        for moment, suffix in [
            ("20200101T000000Z", SUFFIX),
            ("20200102T000000Z", "sql"),
            ("20200103T000000Z", SUFFIX),
            ("29990101T000000Z", SUFFIX),  # from a clock that went wrong
        ]
    ]
    theirs = ["myapp-20200101.sql.zst", "notes", f"{ours[0]}.gpg", f"old-{ours[0]}"]
    for name in ours + theirs:
        (folder / name).touch()
    new = os.path.basename(backup(changed, folder, "--keep", 3))
    assert names(folder) == sorted([new, *ours[2:], *theirs])
    assert os.path.basename(backup(changed, folder, "--keep", 1)) in names(folder)
    assert len(names(folder)) == 1 + len(theirs)


def test_without_a_folder_there_is_no_backup(changed, folder):
    refused = f"Error: {folder}/none: No such file or directory.\n"
    assert run(changed, "backup", folder / "none", code=1) == refused
    assert names(folder) == []


def test_a_second_backup_at_the_same_time_is_refused(changed, folder):
    with commands.open_folder(folder) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        refused = f"Error: {folder}: another backup is at work.\n"
        assert run(changed, "backup", folder, code=1) == refused


def test_a_full_disk_leaves_no_partial_backup(changed, folder):
    (folder / "myapp-20200101T000000Z.sql.zst").touch()
    with largest_file(1024):
        refused = run(changed, "backup", folder, "--keep", 1, code=1)
    assert refused.startswith("Error: ")
    assert names(folder) == ["myapp-20200101T000000Z.sql.zst"]


@contextmanager
def largest_file(size):
    """No file that we write can grow beyond it, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


# The database, and its tools


def test_an_empty_database_is_not_backed_up(empty, folder):
    refused = "Error: The database holds nothing of this service.\n"
    assert run(empty, "backup", folder, code=1) == refused
    assert names(folder) == []


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:////nowhere/hunter2.sqlite3",
        "postgresql://me:hunter2@127.0.0.1:1/x",
        "mysql://me:hunter2@127.0.0.1:1/x",
    ],
)
def test_an_unreachable_database_is_reported_without_its_password(
    make_app, stored_backup, folder, uri
):
    app = make_app(SQLALCHEMY_DATABASE_URI=uri)
    kind = uri.partition(":")[0].replace("mysql", "mariadb")
    commands = [("backup", folder)] + [("restore", stored_backup.file)] * (kind == KIND)
    for command in commands:
        refused = run(app, *command, code=1)
        assert refused.startswith("Error: ") and "hunter2" not in refused
    assert names(folder) == []
    close_stores(app)


@on_server
def test_a_tool_that_is_missing_is_named(
    changed, stored_backup, empty, folder, monkeypatch
):
    monkeypatch.setenv("PATH", "")
    dump, load = {"postgresql": ("pg_dump", "psql")}.get(
        KIND, ("mariadb-dump", "mariadb")
    )
    refused = "Error: {} is not installed; it comes with the client of the database.\n"
    assert run(changed, "backup", folder, code=1) == refused.format(dump)
    assert run(empty, "restore", stored_backup.file, code=1) == refused.format(load)
    assert names(folder) == []


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """Put a script in the place of a database's tool."""
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()

    def stub(name, *lines):
        path = tmp_path / "bin" / name
        path.write_text("\n".join(["#!/bin/sh", *lines]))
        path.chmod(0o700)

    return stub


@on_server
def test_a_failing_tool_is_reported_in_one_line(changed, folder, stub):
    for name in ("pg_dump", "mariadb-dump"):
        stub(
            *(name, "echo half of it", "echo 'error: server version mismatch' >&2"),
            *("echo 'detail: server version: 18; pg_dump version: 15' >&2", "exit 1"),
        )
    (folder / "myapp-20200101T000000Z.sql.zst").touch()
    assert run(changed, "backup", folder, "--keep", 1, code=1) == (
        "Error: error: server version mismatch "
        "detail: server version: 18; pg_dump version: 15\n"
    )
    assert names(folder) == ["myapp-20200101T000000Z.sql.zst"]


def test_every_part_of_an_address_reaches_postgresqls_tools(make_app):
    uri = "postgresql://me:hunter2@db/x?sslmode=verify-full&sslrootcert=/ca&port=1"
    with make_app(SQLALCHEMY_DATABASE_URI=uri).app_context():
        result = postgresql.libpq_environment()
    assert "statement_timeout=0" in result.pop("PGOPTIONS")
    assert result == {
        "PGHOST": "db",
        "PGPORT": "1",
        "PGUSER": "me",
        "PGPASSWORD": "hunter2",
        "PGDATABASE": "x",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/ca",
        "PGCONNECT_TIMEOUT": "5",
    }


@pytest.mark.parametrize(
    "uri, options",
    [
        ("me:hunter2@db:1/x", "--host=db --port=1 --user=me --protocol=tcp {} x"),
        (
            "me:hunter2@/x?unix_socket=/run/socket",
            "--user=me --socket=/run/socket --protocol=socket {} x",
        ),
        (
            "me:hunter2@db/x?ssl_ca=/ca&ssl_cert=/cert&ssl_key=/key",
            "--host=db --user=me --protocol=tcp --ssl-ca=/ca --ssl-cert=/cert "
            "--ssl-key=/key --ssl --ssl-verify-server-cert x",
        ),
        (
            "me:hunter2@db/x?ssl_ca=/ca&ssl_check_hostname=false",
            "--host=db --user=me --protocol=tcp --ssl-ca=/ca --ssl {} x",
        ),
    ],
)
def test_every_part_of_an_address_reaches_mariadbs_tools(make_app, stub, uri, options):
    stub("mariadb", 'echo "$MYSQL_PWD" "$@" >&2', "exit 1")
    with make_app(SQLALCHEMY_DATABASE_URI=f"mysql://{uri}").app_context():
        with pytest.raises(ClickException) as result:
            with mariadb.run_mariadb("mariadb"):
                pass
    always = "hunter2 --no-defaults --default-character-set=utf8mb4 "
    assert str(result.value) == always + options.format("--skip-ssl-verify-server-cert")
