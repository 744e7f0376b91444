"""The options of a connection to each database, and the meaning of its errors."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

# Seconds, in ascending order: each timeout must be reported before the next one ends.
LOCK_TIMEOUT_SECONDS = 5  # to connect, or to wait for a lock
STATEMENT_TIMEOUT_SECONDS = 15  # for a statement; clients give up by then
# for an idle transaction, which holds locks and keeps dead rows
IDLE_TIMEOUT_SECONDS = 60

# A migration waits for a table only as long as a request does, because all later statements
# queue behind it. It then pauses, so that they can run, and tries again.
MIGRATION_ATTEMPTS = 5
MIGRATION_PAUSE_SECONDS = 2  # seconds

# The error codes of PostgreSQL and MariaDB: a lock timeout; a deadlock or a serialization
# failure; a missing table or column.
LOCK_TIMEOUT_CODES = ("55P03", 1205)
DEADLOCK_CODES = ("40P01", "40001", 1213, 1020)
MISSING_TABLE_CODES = ("42P01", "42703", 1146, 1054)
SQLITE_MISSING = re.compile(r"no such (table|column)\b|table \S+ has no column named ")
# The codes of a unique value that is taken, and of a reference to no record, or to one
# that is still referred to. A client can cause these.
CLIENT_CONFLICT_CODES = (
    *("23505", "23503", "23001", 1062, 1451, 1452),
    *("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"),
)
# The code of a foreign key with RESTRICT is that of a trigger, so the message decides.
SQLITE_FOREIGN_KEY = "FOREIGN KEY constraint failed"

# Raised while a store does not answer.
UNAVAILABLE_ERRORS = (OperationalError, InterfaceError, PoolTimeout, RedisError)


def engine_options(
    backend: str,
    overrides: dict[str, Any],
    statement_timeout: int = STATEMENT_TIMEOUT_SECONDS,
) -> dict[str, Any]:
    """Return the options for `create_engine`.

    `backend`: sqlite, postgresql, mysql or mariadb, as in the database's URL. `overrides`:
    options of the operator, which take precedence. `statement_timeout`: seconds that a
    statement may take; 0 means no limit, and none for idle transactions.
    """
    defaults = OPTIONS_BY_BACKEND[backend](statement_timeout)
    connect_args = defaults["connect_args"] | overrides.get("connect_args", {})
    hidden = {"hide_parameters": True}  # no password hash in the traceback of an error
    return hidden | defaults | overrides | {"connect_args": connect_args}


def sqlite_options(timeout: int) -> dict[str, Any]:
    # BEGIN IMMEDIATE waits this long for the lock; nothing else in SQLite can hang.
    return {"connect_args": {"timeout": LOCK_TIMEOUT_SECONDS}}


def postgresql_options(timeout: int) -> dict[str, Any]:
    settings = {
        "lock_timeout": f"{LOCK_TIMEOUT_SECONDS}s",
        "statement_timeout": f"{timeout}s",
        # The client of a download may pause this long between two parts.
        "idle_in_transaction_session_timeout": f"{IDLE_TIMEOUT_SECONDS if timeout else 0}s",
        # A page is a range of an index. The default suits rotating disks: with long rows
        # the planner would scan the primary key, past the rows of all other accounts.
        "random_page_cost": "1.1",
    }
    return POOL_OPTIONS | {
        "connect_args": {
            "options": " ".join(f"-c {name}={v}" for name, v in settings.items()),
            "connect_timeout": LOCK_TIMEOUT_SECONDS,
            # If a host vanishes, the system would wait for minutes when it sends, and for
            # hours when it receives.
            "tcp_user_timeout": 2 * LOCK_TIMEOUT_SECONDS * 1000,
            "keepalives_idle": LOCK_TIMEOUT_SECONDS,
            "keepalives_interval": LOCK_TIMEOUT_SECONDS,
        }
    }


def mariadb_options(timeout: int) -> dict[str, Any]:
    settings = {
        # A value that does not fit is an error, whatever the server's own mode is.
        "sql_mode": "'TRADITIONAL'",
        "innodb_lock_wait_timeout": LOCK_TIMEOUT_SECONDS,  # for a row
        "lock_wait_timeout": LOCK_TIMEOUT_SECONDS,  # for a table that is altered
        "max_statement_time": timeout,
        "idle_transaction_timeout": IDLE_TIMEOUT_SECONDS if timeout else 0,
    }
    assignments = ", ".join(f"{name} = {value}" for name, value in settings.items())
    return POOL_OPTIONS | {
        # As on PostgreSQL: a statement sees what is committed. The default sees the state
        # at the start of the transaction, and locks the gaps where others would insert.
        "isolation_level": "READ COMMITTED",
        "connect_args": {
            "init_command": f"SET SESSION {assignments}",
            "charset": "utf8mb4",  # all of Unicode; the tables name the collation
            "connect_timeout": LOCK_TIMEOUT_SECONDS,
            # A server that hangs does not abort the statement.
            "read_timeout": timeout + LOCK_TIMEOUT_SECONDS if timeout else None,
            "write_timeout": 2 * LOCK_TIMEOUT_SECONDS,
        },
    }


POOL_OPTIONS: dict[str, Any] = {
    "pool_timeout": LOCK_TIMEOUT_SECONDS,  # respond with 503 before clients give up
    "pool_use_lifo": True,  # prefer the connection with recently prepared statements
    "pool_recycle": 300,  # firewalls drop idle connections; a new one takes 2 ms
}
OPTIONS_BY_BACKEND: dict[str, Callable[[int], dict[str, Any]]] = {
    "sqlite": sqlite_options,
    "postgresql": postgresql_options,
    "mysql": mariadb_options,
    "mariadb": mariadb_options,
}


def configure_engine(engine: Engine) -> Engine:
    """Configure the connections of an engine where no option can do so; return it."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # The driver begins transactions at a time that breaks savepoints, so we send BEGIN.
    connection.isolation_level = None
    for pragma in (
        "journal_mode = WAL",  # readers do not wait for a writer
        "synchronous = FULL",  # what is committed survives a power failure
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


@contextmanager
def without_timeouts(engine: Engine) -> Iterator[None]:
    """Open connections without statement and idle timeouts in this block; lock timeouts
    stay as for a request."""
    unlimited = engine_options(engine.name, {}, statement_timeout=0)["connect_args"]

    def connect(
        _dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]
    ) -> None:
        options.update(unlimited)

    engine.dispose()
    event.listen(engine, "do_connect", connect)
    try:
        yield
    finally:
        event.remove(engine, "do_connect", connect)
        engine.dispose()


@contextmanager
def no_statement_timeout(connection: Connection) -> Iterator[None]:
    """Start statements without a timeout in this block, because their rows are streamed.

    PostgreSQL times each part of a stream as one statement; MariaDB times all of it.
    """

    def unlimited(
        _connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any
    ) -> tuple[str, Any]:
        return f"SET STATEMENT max_statement_time = 0 FOR {statement}", parameters

    if connection.dialect.driver != "pymysql":
        yield
        return
    event.listen(connection, "before_cursor_execute", unlimited, retval=True)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", unlimited)


def error_code(error: BaseException) -> int | str | None:
    """Return the code of an error of the driver or of SQLAlchemy: MariaDB's number, the
    SQLSTATE of PostgreSQL, or SQLite's name of it."""
    error = getattr(error, "orig", error)
    number = next(iter(error.args), None)
    if isinstance(number, int):
        return number
    return getattr(error, "sqlstate", getattr(error, "sqlite_errorname", None))


def is_client_conflict(error: BaseException) -> bool:
    """Return True if a constraint was violated in a way that a client can cause."""
    is_foreign_key = str(getattr(error, "orig", error)) == SQLITE_FOREIGN_KEY
    return is_foreign_key or error_code(error) in CLIENT_CONFLICT_CODES


def is_missing_table(error: BaseException) -> bool:
    """Return True if the database lacks tables or columns that this release needs."""
    error = getattr(error, "orig", error)
    if isinstance(error, sqlite3.OperationalError):
        return bool(SQLITE_MISSING.match(str(error)))
    return error_code(error) in MISSING_TABLE_CODES


def violated_constraint(error: IntegrityError) -> str:
    """Return the database's message, which names the constraint, without values."""
    diagnostics = getattr(error.orig, "diag", None)  # PostgreSQL adds the whole row
    return str(diagnostics.message_primary if diagnostics else error.orig)


def is_deadlock(error: BaseException) -> bool:
    """Return True if the database ended the transaction in favor of another one."""
    return isinstance(error, OperationalError) and error_code(error) in DEADLOCK_CODES


def is_lock_timeout(error: BaseException) -> bool:
    """Return True if an error of the driver or of SQLAlchemy is a lock timeout."""
    return error_code(error) in LOCK_TIMEOUT_CODES


def is_disconnect(error: BaseException) -> bool:
    """Return True if a statement failed because its connection was dead: its transaction
    has been rolled back, and may be retried.

    A connection that dies in COMMIT, which is not a statement, leaves the outcome unknown,
    so that a retry could apply it twice. A failure to connect is not retried either.
    """
    return (
        isinstance(error, DBAPIError)
        and error.connection_invalidated
        and error.statement is not None
    )
