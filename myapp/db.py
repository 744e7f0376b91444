"""The two stores, and the unit of work.

One request, one transaction: a model flushes and never commits; the unit of work commits
once, at its end, or rolls everything back. Commands and background tasks use the same.
"""

from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask_migrate import Migrate
from flask_redis import FlaskRedis
from flask_sqlalchemy import SQLAlchemy
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from sqlalchemy import MetaData, event, make_url
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase

PATIENCE = 5  # seconds that a writer waits for the one before it
WAITS = {  # how to tell each database
    "sqlite": {"timeout": PATIENCE},
    "postgresql": {"options": f"-c lock_timeout={PATIENCE}s"},
    "mysql": {"init_command": f"SET SESSION innodb_lock_wait_timeout = {PATIENCE}"},
}
# What PostgreSQL and MariaDB call it when another transaction did not end in time, and
# when one of two had to give way.
WAITED_TOO_LONG = ("55P03", 1205)
GAVE_WAY = ("40P01", "40001", 1213, 1020)


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

sql = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False})
MIGRATIONS = str(Path(__file__).parent.parent / "migrations")
migrate = Migrate(directory=MIGRATIONS, render_as_batch=True)

# A server that is gone must fail a call at once: by default the client tries for seconds.
redis_store = FlaskRedis(
    retry=Retry(NoBackoff(), 0),
    socket_connect_timeout=0.3,
    socket_timeout=0.5,
)


def init_app(app):
    """Bind both stores to `app`; nothing is connected yet."""
    options = app.config.setdefault("SQLALCHEMY_ENGINE_OPTIONS", {})
    options.setdefault("hide_parameters", True)  # no hash in the trace of an error
    database = make_url(app.config["SQLALCHEMY_DATABASE_URI"]).get_backend_name()
    waits = WAITS.get("mysql" if database == "mariadb" else database, {})
    options["connect_args"] = waits | options.get("connect_args", {})
    sql.init_app(app)
    migrate.init_app(app, sql)
    redis_store.init_app(app)
    with app.app_context():
        event.listen(tuned(sql.engine), "begin", _begin)


def tuned(engine):
    """The engine, whose connections will be as we need them."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection, _record):
    # The driver's own idea of when a transaction begins breaks savepoints; we say BEGIN.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")  # readers go on while one writes
    cursor.execute(
        "PRAGMA synchronous = FULL"
    )  # what is acknowledged survives the power
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection):
    # A writer takes its place in the queue at once: one that has read first, and would
    # write then, cannot wait and fails.
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE" if in_writing() else "BEGIN")


def in_writing():
    """Whether what is going on may change anything."""
    return _writes.get()


class Changed(Exception):
    """Somebody else was quicker; the request may run anew, and see what is there now."""


def code_of(error):
    """What the database calls an OperationalError: MariaDB's number, or the SQLSTATE."""
    told = error.orig.args[0]
    return told if isinstance(told, int) else getattr(error.orig, "sqlstate", None)


@contextmanager
def unit_of_work(writes=True):
    """Everything inside happens, or nothing does.

    `writes`: whether it may change anything; one that only reads never waits for a writer.
    """
    token = _writes.set(writes)
    try:
        yield
        if sql.session.registry.has():
            sql.session.commit()
    except BaseException as error:
        sql.session.rollback()
        if isinstance(error, OperationalError) and code_of(error) in GAVE_WAY:
            raise Changed from error
        raise
    finally:
        _writes.reset(token)


def in_batches(statement, size):
    """The rows of a query in lists of `size`, all from one snapshot, the last one shorter.

    They are read in a session of its own, which may outlive the request's unit of work,
    and which is closed before the last list is handed out.
    """
    reads_on = sql.engine.dialect.driver == "pymysql"
    with sql.session.session_factory() as session:
        token = _writes.set(False)
        try:
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


def check_database():
    """`ok`, or why the database is of no use now."""
    try:
        with unit_of_work(writes=False):
            sql.session.execute(sql.text("SELECT 1"))
    except SQLAlchemyError:
        return "does not answer"
    return "ok"


def check_migrations():
    """`ok`, or what is to be done about the tables."""
    try:
        with unit_of_work(writes=False):
            context = MigrationContext.configure(sql.session.connection())
            current = set(context.get_current_heads())
    except SQLAlchemyError:
        return "unknown: the database does not answer"
    return "ok" if current == wanted_heads() else "pending: run `flask db upgrade`"


@lru_cache
def wanted_heads():
    """The newest migrations that this release knows."""
    return set(ScriptDirectory(MIGRATIONS).get_heads())


def check_redis():
    """`ok`, or why Redis is of no use now."""
    try:
        redis_store.ping()
    except RedisError:
        return "does not answer"
    return "ok"
