"""The migrations build exactly the tables of the models, and remove them again.

Runs on SQLite, and on the server that TEST_DATABASE_URL names, where it is set.
"""

import os
import time

import pytest
from alembic.script import ScriptDirectory
from flask_migrate import downgrade, upgrade
from sqlalchemy import inspect, select, text

from conftest import (
    LAMP,
    close_stores,
    create_tables_and_accounts,
    empty_database,
    record_statements,
)
from myapp.core.data import alembic_hooks, dialects
from myapp.core.data.migrations import MIGRATIONS, current_revisions
from myapp.core.data.models.sql_model import SqlModel
from myapp.core.data.session import sql, unit_of_work
from myapp.core.observability.health import check_migrations
from myapp.ops.doctor.checks import database
from myapp.users.models import User
from support import migrations
from support.features.sample_chores.models import SampleChore
from support.features.sample_gadgets.models import SampleGadget

SERVER = os.environ.get("TEST_DATABASE_URL")
# Each "table.column" that no model names any more and that the next release drops.
# This release may still be rolled back to one that reads it.
LEAVING = frozenset()
VERSION = "alembic_version"
BASE = ScriptDirectory(MIGRATIONS).get_base()
on_sqlite = pytest.mark.parametrize("empty", ["SQLite"], indirect=True)
on_a_server = pytest.mark.parametrize("empty", ["server"], indirect=True)
needs_server = pytest.mark.skipif(not SERVER, reason="SQLite is no server")


@pytest.fixture(params=["SQLite", "server"] if SERVER else ["SQLite"])
def empty(request, make_app, tmp_path):
    """Yield an application whose database is empty."""
    server = None if request.param == "SQLite" else SERVER
    with empty_database(tmp_path, server) as uri:
        app = make_app(SQLALCHEMY_DATABASE_URI=uri)
        yield app
        close_stores(app)


def unlike_the_models():
    """Return the changes that Alembic still finds between the models and the database."""
    with sql.engine.connect() as connection:
        changes = migrations.differences_from_models(connection)
    return [change for change in changes if not leaves(change)]


def leaves(change):
    verb, *where = change
    return verb == "remove_column" and f"{where[1]}.{where[2].name}" in LEAVING


def tables():
    """Every table as the database itself describes it, but for Alembic's own."""
    inspector = inspect(sql.engine)
    names = set(inspector.get_table_names()) - {VERSION}
    return {name: describe_table(inspector, name) for name in names}


def describe_table(record, table):
    # A default that no model names is for the previous release, and may stay.
    columns = [
        {**column, "default": None}
        for column in record.get_columns(table)
        if f"{table}.{column['name']}" not in LEAVING
    ]

    def by_name(parts):
        return {part["name"]: as_text(part) for part in parts}

    collations = [(c["name"], getattr(c["type"], "collation", None)) for c in columns]
    return {
        "columns": by_name(columns),
        "collations": sorted(collations),
        "key": record.get_pk_constraint(table),
        "references": by_name(record.get_foreign_keys(table)),
        "unique": by_name(record.get_unique_constraints(table)),
        "checks": by_name(record.get_check_constraints(table)),
        "indexes": by_name(record.get_indexes(table)),
        "options": record.get_table_options(table),
        "counts up": counts_up(table),
    }


def as_text(part):
    """Return this in a form that can be compared: SQL constructs do not compare equal."""
    if isinstance(part, dict):
        return {name: as_text(value) for name, value in part.items()}
    return str(part)


def counts_up(table):
    """Return True if ids are never used again; only SQLite needs AUTOINCREMENT for this."""
    if sql.engine.dialect.name != "sqlite":
        return True
    statement = text("SELECT sql FROM sqlite_master WHERE name = :name")
    with sql.engine.connect() as connection:
        return "AUTOINCREMENT" in connection.scalar(statement, {"name": table})


def test_the_migrations_build_the_tables_of_the_models_and_lead_back_to_nothing(empty):
    models = [mapper.class_ for mapper in sql.Model.registry.mappers]
    with empty.app_context():
        assert check_migrations().startswith("pending")
        upgrade()
        assert check_migrations() == "ok"
        assert unlike_the_models() == []
        before = tables()
        for shown in (m.__tablename__ for m in models if issubclass(m, SqlModel)):
            assert before[shown]["counts up"], shown
        upgrade()
        assert tables() == before, "there was nothing to do"
        downgrade(revision="base")
        assert tables() == {}
        assert check_migrations().startswith("pending")
        upgrade()
        assert (tables(), check_migrations()) == (before, "ok")
        downgrade(revision="base")
        sql.create_all()
        assert {name: before[name] for name in sql.metadata.tables} == tables()


# A newer release


@pytest.fixture
def newer_app(empty):
    """Return an application whose database a newer release has migrated."""
    create_tables_and_accounts(empty)
    with empty.app_context(), unit_of_work():
        sql.session.execute(text("UPDATE alembic_version SET version_num = 'f00d'"))
    return empty


def run(app, args, code=0):
    """Run a command and return its output; check its exit code."""
    result = app.test_cli_runner().invoke(args=args)
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


@pytest.mark.parametrize("command", ["deploy", "init-db"])
def test_the_tables_of_a_newer_release_stay(newer_app, command):
    with newer_app.app_context():
        before = tables()
        output = run(newer_app, args=[command])
        assert output.startswith("The database is at f00d, which this release does")
        assert tables() == before
        assert current_revisions() == {"f00d"}


@pytest.mark.parametrize("command", ["upgrade", "downgrade"])
def test_alembic_reports_the_tables_of_a_newer_release(newer_app, caplog, command):
    run(newer_app, args=["db", command], code=1)
    assert "f00d, which this release does not know" in caplog.text
    with newer_app.app_context():
        assert current_revisions() == {"f00d"}


@pytest.mark.parametrize("command", ["deploy", "init-db"])
def test_missing_objects_are_reported(newer_app, command):
    with newer_app.app_context(), unit_of_work():
        sql.session.execute(text("DROP TABLE sample_chores"))
        sql.session.execute(text("ALTER TABLE audit DROP COLUMN details"))
    output = run(newer_app, args=[command], code=1)
    assert "f00d, which this release does not know, and lacks audit.details, " in output
    assert "audit.details, sample_chores." in output and "flask db downgrade" in output
    ready = newer_app.test_client().get("/status/ready")
    assert ready.status_code == 503
    assert ready.json["migrations"].startswith("foreign: `flask deploy`")
    assert "sample_chores" not in ready.text
    with newer_app.app_context():
        assert current_revisions() == {"f00d"}
        ((level, message, hint),) = database.models(newer_app.config)
    missing = "no migration has created audit.details, sample_chores"
    assert (level, message) == ("wrong", missing)
    assert "flask db downgrade" in hint


def test_complete_tables_are_checked_once(newer_app):
    client = newer_app.test_client()
    assert client.get("/status/ready").json["migrations"] == "ok"
    with record_statements(newer_app) as seen:
        assert client.get("/status/ready").json["migrations"] == "ok"
    others = [words for words, values in seen if VERSION not in f"{words} {values}"]
    assert set(others) <= {"BEGIN", "SELECT 1"}


# Tables that are rebuilt


@pytest.fixture
def lived_in(empty):
    """Return an application whose rows refer to each other; the last gadget is deleted."""
    create_tables_and_accounts(empty)
    with empty.app_context(), unit_of_work():
        owner_id = sql.session.scalars(select(User.id).order_by(User.id)).first()
        gadget, last = (SampleGadget.create(owner_id=owner_id, **LAMP) for _ in "12")
        chore = {"name": "Look", "task": "at it", "done": False, "due_at": None}
        SampleChore.create(owner_id=owner_id, gadget=gadget.id, **chore)
        SampleGadget.lock_or_404(last.id).delete()
    return empty


def rows():
    with sql.engine.connect() as connection:
        return {
            name: connection.execute(select(table)).all()
            for name, table in sql.metadata.tables.items()
        }


LONGER = (
    "for table, column in ('users', 'username'), ('sample_gadgets', 'name'):",
    "    with op.batch_alter_table(table) as batch:",
    "        batch.alter_column(column, type_=sa.String(80), existing_nullable=False)",
)


def test_a_changed_column_keeps_every_row_and_id(lived_in, next_migration):
    next_migration(*LONGER)
    with lived_in.app_context():
        before = rows()
        gadget = before["sample_gadgets"][0]
        assert before["sample_chores"][0].gadget == gadget.id
        upgrade()
        assert rows() == before
        columns = {c["name"]: c for c in inspect(sql.engine).get_columns("users")}
        assert columns["username"]["type"].length == 80
        assert counts_up("sample_gadgets") and counts_up("users")
        with unit_of_work():
            new = SampleGadget.create(owner_id=gadget.owner_id, **LAMP)
        assert new.id == gadget.id + 2, "no id is used again"


@on_sqlite
def test_a_rebuilt_table_has_the_same_definition(lived_in, next_migration):
    next_migration(
        f"for table in {sorted(sql.metadata.tables)}:",
        "    with op.batch_alter_table(table, recreate='always'):",
        "        pass",
    )
    with lived_in.app_context():
        before = tables(), rows()
        upgrade()
        assert (tables(), rows()) == before


@on_sqlite
def test_a_migration_that_leaves_a_dangling_reference_changes_nothing(
    lived_in, next_migration, caplog
):
    next_migration(*LONGER, "op.execute('DELETE FROM sample_gadgets')")
    with lived_in.app_context():
        before = tables(), rows(), current_revisions()
        run(lived_in, args=["deploy"], code=1)
        assert "missing rows (sample_chores to sample_gadgets)" in caplog.text
        assert (tables(), rows(), current_revisions()) == before


@on_sqlite
def test_foreign_keys_are_enforced_again_after_a_migration(lived_in):
    asks = text("PRAGMA foreign_keys")
    with lived_in.app_context(), sql.engine.connect() as connection:
        with pytest.raises(ZeroDivisionError):
            with alembic_hooks.foreign_keys_disabled(connection):
                assert connection.scalar(asks) == 0
                1 / 0
        assert connection.scalar(asks) == 1


# Locked tables


@pytest.fixture
def locked_app(empty, monkeypatch):
    """Yield a connection with an open write transaction, and the application.

    The lock timeout is short. The migration that waits has done a part of its work by
    then.
    """
    monkeypatch.setattr(dialects, "LOCK_TIMEOUT_SECONDS", 1)
    monkeypatch.setattr(dialects, "MIGRATION_PAUSE_SECONDS", 0.1)
    with empty.app_context():
        upgrade(revision=BASE)
        with sql.engine.connect() as writer:
            writer.detach()  # from a pool that the migration disposes of
            writer.execute(text("UPDATE audit SET search = '' WHERE id = 0"))
            yield writer, empty


@needs_server
@on_a_server
def test_a_migration_retries_when_a_table_was_locked(locked_app, monkeypatch):
    writer, app = locked_app
    wait = time.sleep

    def wait_while_they_end(seconds):
        writer.rollback()
        wait(seconds)

    monkeypatch.setattr(time, "sleep", wait_while_they_end)
    output = run(app, args=["deploy"])
    assert output.startswith("A table is locked. Next attempt in")
    assert check_migrations() == "ok"
    assert unlike_the_models() == []


@needs_server
@on_a_server
def test_a_migration_gives_up_after_attempts(locked_app, caplog, monkeypatch):
    monkeypatch.setattr(dialects, "MIGRATION_ATTEMPTS", 2)
    writer, app = locked_app
    began = time.monotonic()
    output = run(app, args=["deploy"], code=1)
    assert 2 < time.monotonic() - began < 4
    assert output.count("A table is locked") == 1
    assert "has locked a table of this migration for 2 times 1 sec" in caplog.text
    assert current_revisions() == {BASE}


def test_the_migrations_have_one_linear_history():
    scripts = ScriptDirectory(MIGRATIONS)
    assert len(scripts.get_heads()) == len(scripts.get_bases()) == 1
    for revision in scripts.walk_revisions():
        assert not revision.is_merge_point
        assert revision.doc
