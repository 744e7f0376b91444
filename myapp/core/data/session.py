"""The SQL session and the unit of work.

One request, one transaction: a model flushes and never commits; the unit of work commits
once, at its end, or rolls everything back. Commands and background tasks use the same.
"""

from contextlib import contextmanager
from contextvars import ContextVar

from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from sqlalchemy import MetaData, event, make_url
from sqlalchemy.orm import DeclarativeBase

from . import replicas
from .dialects import engine_options, gave_way, tuned, was_cut_off
from .redis import redis_store


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


def init_app(app):
    """Bind both stores to `app`; nothing is connected yet."""
    backend = make_url(app.config["SQLALCHEMY_DATABASE_URI"]).get_backend_name()
    given = app.config.get("SQLALCHEMY_ENGINE_OPTIONS", {})
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(backend, given)
    sql.init_app(app)
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
