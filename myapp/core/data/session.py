"""The SQL session and the unit of work.

A request is one transaction: a model flushes and never commits; the unit of work commits
once, at its end, or rolls everything back. So do commands and background tasks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from sqlalchemy import Connection, Engine, MetaData, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import PoolProxiedConnection

from . import replicas
from .dialects import configure_engine, engine_options, is_deadlock, is_disconnect
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


# True if the current unit of work may change rows.
_writes: ContextVar[bool] = ContextVar("writes", default=True)
# A list of the connection of its transaction; empty until the transaction begins.
_held_connection: ContextVar[list[Connection] | None] = ContextVar("held", default=None)


class JoinedSession(Session):
    """A session that joins a transaction which was begun without it."""

    def get_bind(self, *args: Any, **kwargs: Any) -> Engine | Connection:
        held = _held_connection.get()
        return held[0] if held else super().get_bind(*args, **kwargs)


sql = SQLAlchemy(
    model_class=Base,
    session_options={"class_": JoinedSession, "expire_on_commit": False},
)


def init_app(app: Flask) -> None:
    """Bind both stores to `app`, without connecting to them."""
    backend = make_url(app.config["SQLALCHEMY_DATABASE_URI"]).get_backend_name()
    overrides = app.config.get("SQLALCHEMY_ENGINE_OPTIONS", {})
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(backend, overrides)
    sql.init_app(app)
    redis_store.init_app(app)
    with app.app_context():
        event.listen(configure_engine(sql.engine), "begin", _begin)


def _begin(connection: Connection) -> None:
    # A writer takes the lock at once: a transaction that has read before it writes cannot
    # wait for the lock, and would fail.
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(
            "BEGIN IMMEDIATE" if is_write_transaction() else "BEGIN"
        )


def is_write_transaction() -> bool:
    """Return True if the current unit of work may change rows."""
    return _writes.get()


class RetryTransaction(Exception):
    """The transaction has been rolled back, because another one came first or because the
    connection was dead. The request may run again, and will see the current state."""


def transaction(by_session: bool = False) -> PoolProxiedConnection | DBAPIConnection:
    """Return the driver's connection, in the transaction of the current unit of work.

    If the session has begun that transaction, or must begin it (`by_session`), it is the
    session's. Else it begins here, without the session, which costs half as much; a
    session that is used later joins it.
    """
    held = _held_connection.get()
    session = sql.session() if sql.session.registry.has() else None
    if by_session or held is None or session and session.in_transaction():
        sql.session.flush()
        return sql.session.connection().connection
    if not held:
        connection = sql.engine.connect()
        held.append(connection)
        connection.begin()
    return held[0].connection


@contextmanager
def unit_of_work(writes: bool = True) -> Iterator[None]:
    """Commit all changes of the block at its end, or none of them if it raises an error.

    `writes`: pass False if the block only reads; then it never waits for a writer.
    Raises RetryTransaction where the block may be run again.
    """
    outer = _held_connection.get()
    tokens = _writes.set(writes), _held_connection.set([] if outer is None else outer)
    try:
        yield
        if sql.session.registry.has():
            sql.session.commit()
        if held := _held_connection.get():
            held[0].commit()
    except BaseException as error:
        if sql.session.registry.has():
            sql.session.rollback()
        if is_deadlock(error) or is_disconnect(error):
            raise RetryTransaction from error
        raise
    finally:
        if held := _held_connection.get():
            held.pop().close()  # this rolls back what is not committed
        _writes.reset(tokens[0])
        _held_connection.reset(tokens[1])
        if writes:
            replicas.mark_writers()
