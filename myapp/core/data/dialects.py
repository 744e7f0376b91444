"""What each database is told when we connect to it, so that it is right and quick, and what
its errors mean."""

from contextlib import contextmanager

from redis.exceptions import RedisError
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

# Seconds, from short to long: each must be heard of before the next one ends.
PATIENCE = 5  # for a connection, or for the writer before us
LONGEST = 15  # a statement; whoever asked has given up by then
IDLE = 60  # a transaction that nobody goes on with: it holds locks, and keeps the dead

# A migration waits no longer for a table, since all who come later queue behind it: it
# lets them go ahead for some seconds, and tries again.
TRIES = 5
PAUSE = 2

# What PostgreSQL and MariaDB call it when another transaction did not end in time, and
# when one of two had to give way.
WAITED_TOO_LONG = ("55P03", 1205)
GAVE_WAY = ("40P01", "40001", 1213, 1020)
# And when a table or a column is not there yet.
LACKS_TABLES = ("42P01", "42703", 1146, 1054)

# Raised while a store does not answer.
UNAVAILABLE = (OperationalError, InterfaceError, PoolTimeout, RedisError)


def engine_options(backend, given, longest=LONGEST):
    """What to make an engine with.

    `backend`: sqlite, postgresql, mysql or mariadb, as in the database's address. `given`:
    what the operator wants, which goes first. `longest`: seconds that a statement may
    take, 0 for as many as it needs, and for pauses as long as they may be.
    """
    ours = OPTIONS[backend](longest)
    connect_args = ours["connect_args"] | given.get("connect_args", {})
    hidden = {"hide_parameters": True}  # no hash in the trace of an error
    return hidden | ours | given | {"connect_args": connect_args}


def sqlite(longest):
    # BEGIN IMMEDIATE waits as long for its turn; nothing here can hang otherwise.
    return {"connect_args": {"timeout": PATIENCE}}


def postgresql(longest):
    settings = {
        "lock_timeout": f"{PATIENCE}s",
        "statement_timeout": f"{longest}s",
        # Between two parts of a download its reader may pause for as long.
        "idle_in_transaction_session_timeout": f"{IDLE if longest else 0}s",
        # A page is a range of an index. The default is for disks that turn: with long rows
        # it would rather walk along the ids, past what is everybody else's.
        "random_page_cost": "1.1",
    }
    return POOL | {
        "connect_args": {
            "options": " ".join(f"-c {name}={v}" for name, v in settings.items()),
            "connect_timeout": PATIENCE,
            # A host that is gone without a word: the system would wait for minutes when
            # it sends, and for hours when it listens.
            "tcp_user_timeout": 2 * PATIENCE * 1000,
            "keepalives_idle": PATIENCE,
            "keepalives_interval": PATIENCE,
        }
    }


def mariadb(longest):
    settings = {
        # What does not fit is an error, as elsewhere, whatever the server's own mode is.
        "sql_mode": "'TRADITIONAL'",
        "innodb_lock_wait_timeout": PATIENCE,  # for a row
        "lock_wait_timeout": PATIENCE,  # for a table whose form somebody changes
        "max_statement_time": longest,
        "idle_transaction_timeout": IDLE if longest else 0,
    }
    assignments = ", ".join(f"{name} = {value}" for name, value in settings.items())
    return POOL | {
        # As on PostgreSQL: a statement sees what is committed. The default sees what was
        # when the transaction began, and locks the gaps where others would insert.
        "isolation_level": "READ COMMITTED",
        "connect_args": {
            "init_command": f"SET SESSION {assignments}",
            "charset": "utf8mb4",  # all of Unicode; the tables say how it compares
            "connect_timeout": PATIENCE,
            # A server that hangs does not end the statement itself.
            "read_timeout": longest + PATIENCE if longest else None,
            "write_timeout": 2 * PATIENCE,
        },
    }


POOL = {
    "pool_timeout": PATIENCE,  # more calls than connections: 503, before clients go
    "pool_use_lifo": True,  # the one whose statements the server has just prepared
    "pool_recycle": 300,  # firewalls forget connections, too; a new one takes 2 ms
}
OPTIONS = {
    "sqlite": sqlite,
    "postgresql": postgresql,
    "mysql": mariadb,
    "mariadb": mariadb,
}


def tuned(engine):
    """The same engine, whose connections are told what no address and option can say."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _tune_sqlite)
    return engine


def _tune_sqlite(connection, _record):
    # The driver's own idea of when a transaction begins breaks savepoints; we say BEGIN.
    connection.isolation_level = None
    for pragma in (
        "journal_mode = WAL",  # readers go on while one writes
        "synchronous = FULL",  # what is acknowledged survives the power
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


@contextmanager
def without_limits(engine):
    """Connections made in this block are for work that takes as long as it takes; it waits
    for others no longer than a request does."""
    unlimited = engine_options(engine.name, {}, longest=0)["connect_args"]

    def connect(_dialect, _record, _arguments, options):
        options.update(unlimited)

    engine.dispose()
    event.listen(engine, "do_connect", connect)
    try:
        yield
    finally:
        event.remove(engine, "do_connect", connect)
        engine.dispose()


@contextmanager
def unhurried(connection):
    """A statement that begins in this block takes as long as the reader of its rows.

    PostgreSQL counts each part of them as a statement, MariaDB all of them as one.
    """

    def unlimited(_connection, _cursor, statement, parameters, *_):
        return f"SET STATEMENT max_statement_time = 0 FOR {statement}", parameters

    if connection.dialect.driver != "pymysql":
        yield
        return
    event.listen(connection, "before_cursor_execute", unlimited, retval=True)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", unlimited)


def code_of(error):
    """What the database calls an error, the driver's or SQLAlchemy's: MariaDB's number, or
    the SQLSTATE."""
    error = getattr(error, "orig", error)
    number = next(iter(error.args), None)
    return number if isinstance(number, int) else getattr(error, "sqlstate", None)


def lacks_tables(error):
    """Whether the database has not the tables that this release needs."""
    return code_of(error) in LACKS_TABLES


def gave_way(error):
    """Whether the database ended the transaction for the sake of another one."""
    return isinstance(error, OperationalError) and code_of(error) in GAVE_WAY


def waited_too_long(error):
    """Whether an error, the driver's or SQLAlchemy's, says that another transaction did
    not end in time."""
    return code_of(error) in WAITED_TOO_LONG


def was_cut_off(error):
    """Whether a statement found its connection dead, and so its transaction undone.

    A connection that dies in COMMIT, which is no statement, leaves unknown what happened:
    to try again might do it twice. One that cannot be had at all is not worth it.
    """
    return (
        isinstance(error, DBAPIError)
        and error.connection_invalidated
        and error.statement is not None
    )
