"""SQL, quickly: a statement is compiled once, and runs on the driver's own cursor.

In a unit of work that writes, it runs in its transaction. In one that only reads, each
SELECT is a transaction of its own, on connections that need no BEGIN and no COMMIT: that
saves a round trip, and a third of the client's work.
"""

import time
from collections import defaultdict
from contextlib import suppress
from functools import wraps
from inspect import signature

from blinker import Signal
from flask import current_app
from sqlalchemy import Float, bindparam, create_engine
from sqlalchemy.exc import DBAPIError

from . import replicas
from .dialects import tuned
from .session import in_writing, sql, transaction

ran = Signal()  # the text and the values of each statement, for whoever watches
KEPT = 60  # seconds for which a connection is used without a look from its pool
MOST = 1000  # statements that are kept compiled; more, and all are forgotten


def init_app(app):
    """Have `app` read on connections of their own; its stores are there already."""
    with app.app_context():
        url = sql.engine.url
    engine = None if in_memory(url) else tuned(create_engine(url, **options(app)))
    app.extensions["replicas"] = replicas.of(app, engine, options(app))
    app.extensions["statements"] = Statements(engine, app.extensions["replicas"])


def options(app):
    """Those of the engine that writes, and no transactions."""
    return app.config["SQLALCHEMY_ENGINE_OPTIONS"] | {
        "isolation_level": "AUTOCOMMIT",
        "pool_reset_on_return": None,
    }


def in_memory(url):
    """Whether each connection would find a database of its own, an empty one."""
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def read(key, select, /, **values):
    """The rows, as tuples, of the SELECT that `select` makes, with `values` for its bound
    parameters; `key`: what tells this SELECT from any other."""
    return current_app.extensions["statements"].read(key, select, values)


def write(key, statement, /, **values):
    """The rows that the INSERT, UPDATE or DELETE which `statement` makes hands back, if it
    does; the rest as for `read`."""
    return current_app.extensions["statements"].write(key, statement, values)


def prepared(select):
    """Decorate a function that returns a SELECT: it is compiled once, and then runs.

    The function's parameters stand for values of the SELECT. The decorated function takes
    these values by name, and returns the rows as tuples.
    """

    def build():
        return select(
            **{name: bindparam(name) for name in signature(select).parameters}
        )

    @wraps(select)
    def rows(**values):
        return read(select, build, **values)

    return rows


def insert_all(table, names, rows, alike):
    """Insert many rows, as quickly as the database can: by COPY, or many in a statement.

    `rows`: tuples of what the columns of these `names` hold; `alike`: what the others hold
    in every row. Raises DBAPIError.
    """
    statements, dialect = current_app.extensions["statements"], sql.engine.dialect
    connection = transaction(by_session=statements.engine is None)
    rest = tuple(
        process(value) if (process := binder(table, name, dialect)) else value
        for name, value in alike.items()
    )
    binders = [binder(table, name, dialect) for name in names]
    if any(binders):
        rows = (
            tuple(bind(value) if bind else value for bind, value in zip(binders, row))
            for row in rows
        )
    rows = [row + rest for row in rows]
    columns = ", ".join(map(dialect.identifier_preparer.quote, (*names, *alike)))
    into = f"{dialect.identifier_preparer.format_table(table)} ({columns})"
    mark = "?" if dialect.paramstyle == "qmark" else "%s"
    marks = ", ".join([mark] * (len(names) + len(alike)))
    text = f"INSERT INTO {into} VALUES ({marks})"
    cursor = connection.cursor()
    try:
        if dialect.driver == "psycopg":
            with cursor.copy(f"COPY {into} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        elif rows:
            cursor.executemany(text, rows)
    except dialect.loaded_dbapi.Error as error:
        raise failed(error, dialect, connection, cursor, text) from None
    finally:
        cursor.close()


def binder(table, name, dialect):
    """What makes, of a column's value, what the driver takes; None: it is that."""
    return table.columns[name].type.dialect_impl(dialect).bind_processor(dialect)


def parameters(values):
    """For an INSERT or UPDATE: by column, the bound parameters of its new values."""
    return {name: bindparam(f"new_{name}") for name in values}


def filled(values):
    """The values of these parameters."""
    return {f"new_{name}": value for name, value in values.items()}


class Statements:
    """The compiled statements of one application, and the `engine` to run them on when
    nothing is being written; None: run them where the others do. `replicas`: who chooses
    another one, or None."""

    def __init__(self, engine, replicas=None):
        self.engine = engine
        self._replicas = replicas
        self._statements = {}
        self._free = defaultdict(list)

    def engines(self):
        """All that there are, the one that writes first."""
        replicas = self._replicas.all if self._replicas else ()
        readers = self.engine, *(replica.engine for replica in replicas)
        return [sql.engine, *filter(None, readers)]

    def _statement(self, key, make):
        statement = self._statements.get(key)
        if statement is None:
            if len(self._statements) >= MOST:
                self._statements.clear()
            statement = Statement(make(), sql.engine.dialect)
            self._statements[key] = statement
        return statement

    def write(self, key, make, values):
        connection = transaction(by_session=self.engine is None)
        return self._statement(key, make).rows(connection, values)

    def read(self, key, make, values):
        if in_writing() or self.engine is None:
            return self.write(key, make, values)
        statement = self._statement(key, make)
        for engine in self._in_turn():
            try:
                return self._alone(engine, statement, values)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                lost = error
            self.let_go(engine)
        raise lost

    def let_go(self, engine):
        """Give the connections that nobody uses just now back to the engine's pool."""
        for connection, _ in self._free.pop(engine, ()):
            connection.close()

    def _in_turn(self):
        """Each for when the one before has lost its connection."""
        return self._replicas.engines() if self._replicas else [self.engine] * 2

    def _alone(self, engine, statement, values):
        connection, until = self._connection(engine)
        rows = statement.rows(connection, values)
        self._free[engine].append((connection, until))
        return rows

    def _connection(self, engine):
        """One that nobody else uses, and the time from which on it is not to be used again
        without its pool having looked at it: to ask the pool each time costs 14 µs."""
        now = time.monotonic()
        with suppress(IndexError):
            while True:
                connection, until = self._free[engine].pop()
                if now < until:
                    return connection, until
                connection.close()
        try:
            return engine.raw_connection(), now + KEPT
        except engine.dialect.loaded_dbapi.Error as error:
            raise told(error, engine.dialect) from None


def told(error, dialect, text=None, gone=True):
    """The driver's error as SQLAlchemy would raise it. `text`: what was being executed,
    if anything was; `gone`: whether the connection is."""
    return DBAPIError.instance(
        text,
        None,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=gone,
        dialect=dialect,
    )


def failed(error, dialect, connection, cursor, text):
    """The same for what was executed there; a connection that is gone leaves its pool."""
    gone = dialect.is_disconnect(error, connection, cursor)
    if gone:
        # Those as old will be made anew, too; whoever has a new one keeps it.
        connection._pool._invalidate(connection, error)
    return told(error, dialect, text, gone)


class Statement:
    """A statement as a database and its driver take it."""

    def __init__(self, statement, dialect):
        compiled = statement.compile(dialect=dialect)
        self._dialect = dialect
        self._text = compiled.string
        self._order = compiled.positiontup
        self._constants = compiled.construct_params(_check=False)
        self._binds = {
            name: process
            for name, bound in compiled.binds.items()
            if (process := bound.type.dialect_impl(dialect).bind_processor(dialect))
        }
        columns = list(statement.exported_columns)
        self._fetches = bool(columns)
        self._results = [
            (place, process)
            for place, column in enumerate(columns)
            if (process := processor(column.type, dialect))
        ]

    def rows(self, connection, values):
        """What the database answers on a connection of its pool. Raises DBAPIError."""
        values = self._constants | values
        for name, process in self._binds.items():
            values[name] = process(values[name])
        if self._order is not None:
            values = tuple(values[name] for name in self._order)
        if ran.receivers:
            ran.send(self._text, values=values)
        cursor = connection.cursor()
        try:
            cursor.execute(self._text, values)
            rows = cursor.fetchall() if self._fetches else []
        except self._dialect.loaded_dbapi.Error as error:
            raise failed(error, self._dialect, connection, cursor, self._text) from None
        finally:
            cursor.close()
        return [self._record(row) for row in rows] if self._results else rows

    def _record(self, row):
        row = list(row)
        for place, process in self._results:
            row[place] = process(row[place])
        return row


def processor(type_, dialect):
    """What makes a value of what the driver gives for this type; None: it is one."""
    if isinstance(type_, Float):  # PostgreSQL's would look at each column of a result
        return None
    return type_.dialect_impl(dialect).result_processor(dialect, None)
