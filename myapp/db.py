"""The two stores, and the unit of work.

One request, one transaction: a model flushes and never commits; the unit of work commits
once, at its end, or rolls everything back. Commands and background tasks use the same.
"""

from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import current_app
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from redis.exceptions import RedisError
from sqlalchemy import MetaData, bindparam, delete, event, inspect, make_url, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase

from . import replicas
from .databases import engine_options, gave_way, tuned, unhurried, was_cut_off
from .redis_client import redis_store

AT_ONCE = 1000  # rows that a sweep writes in one unit of work; nobody waits for it long


class Base(DeclarativeBase):
    # Constraints need names, or a migration on SQLite cannot change them.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


# Whether the unit of work that is going on may change anything.
_writes = ContextVar("writes", default=True)
# The connection, in a list, that its transaction is on; an empty list until there is one.
_held = ContextVar("held", default=None)


class Joining(Session):
    """A session that goes on in the transaction that was begun without it."""

    def get_bind(self, *args, **kwargs):
        held = _held.get()
        return held[0] if held else super().get_bind(*args, **kwargs)


sql = SQLAlchemy(
    model_class=Base,
    session_options={"class_": Joining, "expire_on_commit": False},
)
# What mends tables that lack something of ours, and are not of an older release.
FOREIGN = (
    "put that migration's file back and flask db downgrade; or, in development, move the "
    "database away and flask deploy"
)
MIGRATIONS = str(Path(__file__).parent.parent / "migrations")
migrate = Migrate(directory=MIGRATIONS, render_as_batch=True)


@migrate.configure
def _in_form(config):
    # Black comes with the development tools: a service that runs has none, and needs none.
    if find_spec("black"):
        for name, value in {
            "hooks": "black",
            "black.type": "module",
            "black.module": "black",
            "black.options": "--quiet REVISION_SCRIPT_FILENAME",
        }.items():
            config.set_section_option("post_write_hooks", name, value)
    return config


def init_app(app):
    """Bind both stores to `app`; nothing is connected yet."""
    backend = make_url(app.config["SQLALCHEMY_DATABASE_URI"]).get_backend_name()
    given = app.config.get("SQLALCHEMY_ENGINE_OPTIONS", {})
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(backend, given)
    sql.init_app(app)
    migrate.init_app(app, sql)
    redis_store.init_app(app)
    with app.app_context():
        event.listen(tuned(sql.engine), "begin", _begin)


def _begin(connection):
    # A writer takes its place in the queue at once: one that has read first, and would
    # write then, cannot wait and fails.
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE" if in_writing() else "BEGIN")


def in_writing():
    """Whether what is going on may change anything."""
    return _writes.get()


class Changed(Exception):
    """Nothing has happened, since somebody else was quicker or the connection was dead;
    the request may run anew, and see what is there now."""


def transaction(by_session=False):
    """The driver's connection, in the transaction of the unit of work that is going on.

    It is the session's where the session has begun it, or must (`by_session`). Else it is
    begun here, and the session joins it if it comes later: alone, it costs half.
    """
    held = _held.get()
    session = sql.session.registry.has() and sql.session()
    if by_session or held is None or session and session.in_transaction():
        sql.session.flush()
        return sql.session.connection().connection
    if not held:
        connection = sql.engine.connect()
        held.append(connection)
        connection.begin()
    return held[0].connection


@contextmanager
def unit_of_work(writes=True):
    """Everything inside happens, or nothing does.

    `writes`: whether it may change anything; one that only reads never waits for a writer.
    """
    outer = _held.get()
    tokens = _writes.set(writes), _held.set([] if outer is None else outer)
    try:
        yield
        if sql.session.registry.has():
            sql.session.commit()
        if held := _held.get():
            held[0].commit()
    except BaseException as error:
        if sql.session.registry.has():
            sql.session.rollback()
        if gave_way(error) or was_cut_off(error):
            raise Changed from error
        raise
    finally:
        if held := _held.get():
            held.pop().close()  # which rolls back what is not committed
        _writes.reset(tokens[0])
        _held.reset(tokens[1])
        if writes:
            replicas.wrote()


def in_batches(statement, size):
    """The rows of a query in lists of `size`, all from one snapshot, the last one shorter.

    They are read in a session of its own, which may outlive the request's unit of work,
    and which is closed before the last list is handed out.
    """
    reads_on = sql.engine.dialect.driver == "pymysql"
    with sql.session.session_factory() as session:
        token = _writes.set(False)
        try:
            with unhurried(session.connection()):
                rows = session.execute(statement, execution_options={"yield_per": size})
        finally:
            _writes.reset(token)
        try:
            while len(batch := rows.fetchmany(size)) == size:
                yield batch
        except GeneratorExit:
            if reads_on:  # all that is left, before it gives the connection back
                rows.raw.cursor._result.unbuffered_active = False
                session.invalidate()
            raise
        finally:
            rows.close()
    yield batch


def delete_in_batches(table, *conditions):
    """Delete the rows that meet the conditions, AT_ONCE of them in a unit of work; returns
    how many. What somebody else holds just now stays for another time.

    An index must serve the conditions, since each batch is looked for anew. What a foreign
    key would delete with a row goes before it in the same way, for that may be a million;
    so a row that others depend on must meet the conditions for ever.
    """
    depending = [
        key.parent
        for other in reversed(sql.metadata.sorted_tables)
        for key in other.foreign_keys
        if key.column.table is table and key.ondelete == "CASCADE"
    ]
    found = select(*table.primary_key).where(*conditions).limit(AT_ONCE)
    found = found.with_for_update(skip_locked=True)
    total, more = 0, True
    while more:
        with unit_of_work():
            rows = sql.session.execute(found).all()
            more = len(rows) == AT_ONCE
            if not depending:
                total += _delete(table, rows)
        if rows and depending:
            for column in depending:
                delete_in_batches(column.table, column.in_([id for (id,) in rows]))
            with unit_of_work():
                total += _delete(table, rows)
    return total


def _delete(table, rows):
    first, *more = key = list(table.primary_key)
    if not rows:
        return 0
    if more:  # of a list of pairs PostgreSQL compares each with each row of the table
        this = [column == bindparam(column.name) for column in key]
        values = [row._asdict() for row in rows]
        return sql.session.execute(delete(table).where(*this), values).rowcount
    these = first.in_([id for (id,) in rows])
    return sql.session.execute(delete(table).where(these)).rowcount


def check_database():
    """`ok`, or why the database is of no use now."""
    try:
        with unit_of_work(writes=False):
            sql.session.execute(sql.text("SELECT 1"))
    except SQLAlchemyError:
        return "does not answer"
    return "ok"


def check_migrations():
    """`ok`, or what is to be done about the tables.

    A newer release that has migrated them saw to it that we can work with them (gate.py).
    What lacks something of ours is of no such release.
    """
    try:
        current = migrated()
        if current == wanted_heads():
            return "ok"
        if newer(current):
            return "foreign: `flask deploy` says what they lack" if lacking() else "ok"
    except SQLAlchemyError:
        return "unknown: the database does not answer"
    return "pending: run `flask deploy`"


def lacking():
    """The tables, and columns as `table.column`, that our models name and that the database
    has not, in order. Raises SQLAlchemyError.

    That nothing is lacking is looked up once for each database and its migrations.
    """
    place = current_app.config["SQLALCHEMY_DATABASE_URI"], *sorted(migrated())
    if place in _complete:
        return []
    with unit_of_work(writes=False):
        found = inspect(sql.session.connection())
        there = {
            name: {column["name"] for column in columns}
            for (_, name), columns in found.get_multi_columns().items()
        }
    missing = [name for name in sql.metadata.tables if name not in there]
    for name in sql.metadata.tables.keys() & there.keys():
        columns = sql.metadata.tables[name].columns.keys()
        missing += [f"{name}.{c}" for c in columns if c not in there[name]]
    if not missing:
        _complete.add(place)
    return sorted(missing)


_complete = set()


def migrated():
    """The migrations that the tables are at: as `wanted_heads`, or none in an empty
    database. Raises SQLAlchemyError."""
    with unit_of_work(writes=False):
        context = MigrationContext.configure(sql.session.connection())
        return set(context.get_current_heads())


def newer(migrations):
    """Those of a set of migrations that this release does not know, but a newer one."""
    return migrations - known_migrations()


@lru_cache
def wanted_heads():
    """The newest migrations that this release knows."""
    return set(ScriptDirectory(MIGRATIONS).get_heads())


@lru_cache
def known_migrations():
    """All migrations that this release knows."""
    return {script.revision for script in ScriptDirectory(MIGRATIONS).walk_revisions()}


def check_redis():
    """`ok`, or why Redis is of no use now."""
    try:
        redis_store.ping()
    except RedisError:
        return "does not answer"
    return "ok"
