"""The options of a connection to each database, and the meaning of its errors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

# Seconds, in ascending order: each timeout must be reported before the next one ends.
PATIENCE = 5  # to connect, or to wait for a lock
LONGEST = 15  # for a statement; clients give up by then
IDLE = 60  # for an idle transaction, which holds locks and keeps dead rows

# A migration waits for a table only as long as a request does, because all later statements
# queue behind it. It then pauses, so that they can run, and tries again.
TRIES = 5
PAUSE = 2  # seconds

# The error codes of PostgreSQL and MariaDB: a lock timeout; a deadlock or a serialization
# failure; a missing table or column.
WAITED_TOO_LONG = ("55P03", 1205)
GAVE_WAY = ("40P01", "40001", 1213, 1020)
LACKS_TABLES = ("42P01", "42703", 1146, 1054)

# Raised while a store does not answer.
UNAVAILABLE = (OperationalError, InterfaceError, PoolTimeout, RedisError)


def engine_options(
    backend: str, given: dict[str, Any], longest: int = LONGEST
) -> dict[str, Any]:
    """Return the options for `create_engine`.

    `backend`: sqlite, postgresql, mysql or mariadb, as in the database's URL. `given`:
    options of the operator, which take precedence. `longest`: seconds that a statement may
    take; 0 means no limit, and none for idle transactions.
    """
    ours = OPTIONS[backend](longest)
    connect_args = ours["connect_args"] | given.get("connect_args", {})
    hidden = {"hide_parameters": True}  # no password hash in the traceback of an error
    return hidden | ours | given | {"connect_args": connect_args}


def sqlite(longest: int) -> dict[str, Any]:
    # BEGIN IMMEDIATE waits this long for the lock; nothing else in SQLite can hang.
    return {"connect_args": {"timeout": PATIENCE}}


def postgresql(longest: int) -> dict[str, Any]:
    settings = {
        "lock_timeout": f"{PATIENCE}s",
        "statement_timeout": f"{longest}s",
        # The client of a download may pause this long between two parts.
        "idle_in_transaction_session_timeout": f"{IDLE if longest else 0}s",
        # A page is a range of an index. The default suits rotating disks: with long rows
        # the planner would scan the primary key, past the rows of all other accounts.
        "random_page_cost": "1.1",
    }
    return POOL | {
        "connect_args": {
            "options": " ".join(f"-c {name}={v}" for name, v in settings.items()),
            "connect_timeout": PATIENCE,
            # If a host vanishes, the system would wait for minutes when it sends, and for
            # hours when it receives.
            "tcp_user_timeout": 2 * PATIENCE * 1000,
            "keepalives_idle": PATIENCE,
            "keepalives_interval": PATIENCE,
        }
    }


def mariadb(longest: int) -> dict[str, Any]:
    settings = {
        # A value that does not fit is an error, whatever the server's own mode is.
        "sql_mode": "'TRADITIONAL'",
        "innodb_lock_wait_timeout": PATIENCE,  # for a row
        "lock_wait_timeout": PATIENCE,  # for a table that is altered
        "max_statement_time": longest,
        "idle_transaction_timeout": IDLE if longest else 0,
    }
    assignments = ", ".join(f"{name} = {value}" for name, value in settings.items())
    return POOL | {
        # As on PostgreSQL: a statement sees what is committed. The default sees the state
        # at the start of the transaction, and locks the gaps where others would insert.
        "isolation_level": "READ COMMITTED",
        "connect_args": {
            "init_command": f"SET SESSION {assignments}",
            "charset": "utf8mb4",  # all of Unicode; the tables name the collation
            "connect_timeout": PATIENCE,
            # A server that hangs does not abort the statement.
            "read_timeout": longest + PATIENCE if longest else None,
            "write_timeout": 2 * PATIENCE,
        },
    }


POOL: dict[str, Any] = {
    "pool_timeout": PATIENCE,  # respond with 503 before clients give up
    "pool_use_lifo": True,  # prefer the connection with recently prepared statements
    "pool_recycle": 300,  # firewalls drop idle connections; a new one takes 2 ms
}
OPTIONS: dict[str, Callable[[int], dict[str, Any]]] = {
    "sqlite": sqlite,
    "postgresql": postgresql,
    "mysql": mariadb,
    "mariadb": mariadb,
}


def tuned(engine: Engine) -> Engine:
    """Configure the connections of an engine where no option can do so; return it."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _tune_sqlite)
    return engine


def _tune_sqlite(connection: Any, _record: Any) -> None:
    # The driver begins transactions at a time that breaks savepoints, so we send BEGIN.
    connection.isolation_level = None
    for pragma in (
        "journal_mode = WAL",  # readers do not wait for a writer
        "synchronous = FULL",  # what is committed survives a power failure
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


@contextmanager
def without_limits(engine: Engine) -> Iterator[None]:
    """Open connections without statement and idle timeouts in this block; lock timeouts
    stay as for a request."""
    unlimited = engine_options(engine.name, {}, longest=0)["connect_args"]

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
def unhurried(connection: Connection) -> Iterator[None]:
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


def code_of(error: BaseException) -> int | str | None:
    """Return the code of an error of the driver or of SQLAlchemy: MariaDB's number, or the
    SQLSTATE."""
    error = getattr(error, "orig", error)
    number = next(iter(error.args), None)
    return number if isinstance(number, int) else getattr(error, "sqlstate", None)


def lacks_tables(error: BaseException) -> bool:
    """Return True if the database lacks tables or columns that this release needs."""
    return code_of(error) in LACKS_TABLES


def gave_way(error: BaseException) -> bool:
    """Return True if the database ended the transaction in favor of another one."""
    return isinstance(error, OperationalError) and code_of(error) in GAVE_WAY


def waited_too_long(error: BaseException) -> bool:
    """Return True if an error of the driver or of SQLAlchemy is a lock timeout."""
    return code_of(error) in WAITED_TOO_LONG


def was_cut_off(error: BaseException) -> bool:
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
