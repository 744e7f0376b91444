"""Fast SQL: a statement is compiled once, and runs on the driver's cursor.

In a unit of work that writes, a statement runs in its transaction. In one that only reads,
each SELECT is its own transaction, on connections that need no BEGIN and no COMMIT: this
saves a round trip, and a third of the client's work.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from functools import wraps
from inspect import signature
from typing import Any

from blinker import Signal
from flask import Flask, current_app
from sqlalchemy import (
    URL,
    BindParameter,
    Dialect,
    Engine,
    Float,
    Table,
    bindparam,
    create_engine,
)
from sqlalchemy.engine.interfaces import DBAPICursor, DBAPIModule
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.types import TypeEngine

from . import replicas
from .dialects import configure_engine
from .session import is_write_transaction, sql, transaction

ResultRows = list[tuple[Any, ...]]
BuildStatement = Callable[[], Any]  # returns a SELECT, an INSERT, an UPDATE or a DELETE
Process = Callable[[Any], Any]  # converts a value to the driver's type, or back

statement_executed = Signal()  # sent with the text and the values of each statement
# seconds for which a connection is reused without a check by its pool
CONNECTION_TTL_SECONDS = 60
# compiled statements in the cache; when it is full, it is cleared
MAX_STATEMENTS = 1000


def init_app(app: Flask) -> None:
    """Create the engine that `app` reads on; `session.init_app` comes first."""
    with app.app_context():
        url = sql.engine.url
    engine = (
        None
        if is_in_memory(url)
        else configure_engine(create_engine(url, **reader_options(app)))
    )
    app.extensions["replicas"] = replicas.create_replicas(
        app, engine, reader_options(app)
    )
    app.extensions["statements"] = CompiledStatements(
        engine, app.extensions["replicas"]
    )


def reader_options(app: Flask) -> dict[str, Any]:
    """Return the options of an engine that reads: as for writes, without transactions."""
    return app.config["SQLALCHEMY_ENGINE_OPTIONS"] | {
        "isolation_level": "AUTOCOMMIT",
        "pool_reset_on_return": None,
    }


def is_in_memory(url: URL) -> bool:
    """Return True if each connection would open its own, empty database."""
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def read(key: Any, select: BuildStatement, /, **values: Any) -> ResultRows:
    """Execute a SELECT; return its rows as tuples. Raises DBAPIError.

    `key`: hashable, and different for each SELECT. `select`: builds it, if it is not in the
    cache under this key. `values`: of its bound parameters.
    """
    return current_app.extensions["statements"].read(key, select, values)


def write(key: Any, statement: BuildStatement, /, **values: Any) -> ResultRows:
    """Execute an INSERT, UPDATE or DELETE; return the rows of its RETURNING clause.

    The arguments are those of `read`. Raises DBAPIError.
    """
    return current_app.extensions["statements"].write(key, statement, values)


def compiled_query(select: Callable[..., Any]) -> Callable[..., ResultRows]:
    """Decorate a function that returns a SELECT, so that it executes that SELECT.

    The statement is compiled once. The function's parameters are bound parameters of it.
    The decorated function takes their values by name, and returns the rows as tuples.
    """

    def build() -> Any:
        return select(
            **{name: bindparam(name) for name in signature(select).parameters}
        )

    @wraps(select)
    def rows(**values: Any) -> ResultRows:
        return read(select, build, **values)

    return rows


def insert_all(
    table: Table,
    names: Collection[str],
    rows: Iterable[tuple[Any, ...]],
    common_values: Mapping[str, Any],
) -> None:
    """Insert many rows in the fastest way of the database: by COPY, or by executemany.

    `names`: of columns. `rows`: tuples of their values. `common_values`: the other columns,
    with one value for all rows. Raises DBAPIError.
    """
    statements, dialect = current_app.extensions["statements"], sql.engine.dialect
    connection = transaction(by_session=statements.engine is None)
    rest = tuple(
        process(value) if (process := bind_processor(table, name, dialect)) else value
        for name, value in common_values.items()
    )
    binders = [bind_processor(table, name, dialect) for name in names]
    if any(binders):
        rows = (
            tuple(bind(value) if bind else value for bind, value in zip(binders, row))
            for row in rows
        )
    rows = [row + rest for row in rows]
    columns = ", ".join(
        map(dialect.identifier_preparer.quote, (*names, *common_values))
    )
    into = f"{dialect.identifier_preparer.format_table(table)} ({columns})"
    mark = "?" if dialect.paramstyle == "qmark" else "%s"
    marks = ", ".join([mark] * (len(names) + len(common_values)))
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
        raise wrap_execution_error(error, dialect, connection, cursor, text) from None
    finally:
        cursor.close()


def bind_processor(table: Table, name: str, dialect: Dialect) -> Process | None:
    """Return the converter of a column's values to the driver's type; None if the driver
    takes them as they are."""
    return table.columns[name].type.dialect_impl(dialect).bind_processor(dialect)


def column_params(values: Iterable[str]) -> dict[str, BindParameter[Any]]:
    """Return the bound parameters of an INSERT or UPDATE, by the names of its columns."""
    return {name: bindparam(f"new_{name}") for name in values}


def column_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of these parameters, by the names of the parameters."""
    return {f"new_{name}": value for name, value in values.items()}


class CompiledStatements:
    """The compiled statements of one application.

    `engine`: for reads outside a transaction; None: they run on the session's engine.
    `replicas`: choose another engine for a read, if there are any.
    """

    def __init__(
        self, engine: Engine | None, replicas: replicas.Replicas | None = None
    ) -> None:
        self.engine = engine
        self._replicas = replicas
        self._statements: dict[Any, CompiledStatement] = {}
        self._idle_connections: defaultdict[
            Engine, list[tuple[PoolProxiedConnection, float]]
        ] = defaultdict(list)

    def engines(self) -> list[Engine]:
        """Return all engines; the first one writes."""
        replicas = self._replicas.all if self._replicas else ()
        readers = self.engine, *(replica.engine for replica in replicas)
        return [sql.engine, *filter(None, readers)]

    def _statement(self, key: Any, make: BuildStatement) -> "CompiledStatement":
        statement = self._statements.get(key)
        if statement is None:
            if len(self._statements) >= MAX_STATEMENTS:
                self._statements.clear()
            statement = CompiledStatement(make(), sql.engine.dialect)
            self._statements[key] = statement
        return statement

    def write(
        self, key: Any, make: BuildStatement, values: dict[str, Any]
    ) -> ResultRows:
        """Execute a statement in the transaction of the unit of work."""
        connection = transaction(by_session=self.engine is None)
        return self._statement(key, make).rows(connection, values)

    def read(
        self, key: Any, make: BuildStatement, values: dict[str, Any]
    ) -> ResultRows:
        """Execute a SELECT; on a separate connection, if the unit of work only reads."""
        if is_write_transaction() or self.engine is None:
            return self.write(key, make, values)
        statement = self._statement(key, make)
        for engine in self._engines_in_turn():
            try:
                return self._run_autocommit(engine, statement, values)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                lost = error
            self.release_connections(engine)
        raise lost

    def release_connections(self, engine: Engine) -> None:
        """Return the unused connections to the engine's pool."""
        for connection, _ in self._idle_connections.pop(engine, ()):
            connection.close()

    def _engines_in_turn(self) -> Iterable[Engine]:
        """Return engines to try, the next one if a connection of the last one is dead."""
        if self._replicas:
            return self._replicas.engines()
        assert self.engine is not None  # `read` checks this
        return [self.engine] * 2

    def _run_autocommit(
        self, engine: Engine, statement: "CompiledStatement", values: dict[str, Any]
    ) -> ResultRows:
        connection, until = self._connection(engine)
        rows = statement.rows(connection, values)
        self._idle_connections[engine].append((connection, until))
        return rows

    def _connection(self, engine: Engine) -> tuple[PoolProxiedConnection, float]:
        """Return an unused connection, and the time after which its pool must check it.

        To ask the pool each time would cost 14 µs.
        """
        now = time.monotonic()
        with suppress(IndexError):
            while True:
                connection, until = self._idle_connections[engine].pop()
                if now < until:
                    return connection, until
                connection.close()
        try:
            return engine.raw_connection(), now + CONNECTION_TTL_SECONDS
        except engine.dialect.loaded_dbapi.Error as error:
            raise wrap_dbapi_error(error, engine.dialect) from None


def wrap_dbapi_error(
    error: Exception,
    dialect: Dialect,
    text: str | None = None,
    disconnected: bool = True,
) -> BaseException:
    """Return the driver's error as the DBAPIError that SQLAlchemy would raise.

    `text`: the statement, if there is one. `disconnected`: True if the connection is dead.
    """
    return DBAPIError.instance(
        text,
        None,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=disconnected,
        dialect=dialect,
    )


def wrap_execution_error(
    error: DBAPIModule.Error,
    dialect: Dialect,
    connection: Any,
    cursor: DBAPICursor,
    text: str,
) -> BaseException:
    """Return the error of a statement as `wrap_dbapi_error` does; remove a dead connection
    from its pool."""
    disconnected = dialect.is_disconnect(error, connection, cursor)
    if disconnected:
        # The pool replaces all connections that are as old; newer ones stay.
        connection._pool._invalidate(connection, error)
    return wrap_dbapi_error(error, dialect, text, disconnected)


class CompiledStatement:
    """A statement, compiled for a database and its driver."""

    def __init__(self, statement: Any, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        binds = compiled.bind_names.items()
        required = {name for bound, name in binds if bound.required}
        # A constant of several values, as of IN, becomes a bound parameter for each.
        state = compiled.construct_expanded_state(dict.fromkeys(required))
        processors = dict(state.processors) | {
            name: bound.type.dialect_impl(dialect).bind_processor(dialect)
            for bound, name in binds
        }
        self._dialect = dialect
        self._text = state.statement
        self._order = state.positiontup
        self._binds = {n: p for n, p in processors.items() if p and n in required}
        self._constants = {
            name: process(value) if (process := processors.get(name)) else value
            for name, value in state.parameters.items()
            if name not in required
        }
        columns = list(statement.exported_columns)
        self._fetches = bool(columns)
        self._results = [
            (place, process)
            for place, column in enumerate(columns)
            if (process := result_processor(column.type, dialect))
        ]

    def rows(self, connection: Any, values: dict[str, Any]) -> ResultRows:
        """Execute the statement on a connection of a pool. Raises DBAPIError."""
        values = self._constants | values
        for name, process in self._binds.items():
            values[name] = process(values[name])
        arguments: Any = values
        if self._order is not None:
            arguments = tuple(values[name] for name in self._order)
        if statement_executed.receivers:
            statement_executed.send(self._text, values=arguments)
        cursor = connection.cursor()
        try:
            cursor.execute(self._text, arguments)
            rows = cursor.fetchall() if self._fetches else []
        except self._dialect.loaded_dbapi.Error as error:
            raise wrap_execution_error(
                error, self._dialect, connection, cursor, self._text
            ) from None
        finally:
            cursor.close()
        return [self._record(row) for row in rows] if self._results else rows

    def _record(self, row: Iterable[Any]) -> Any:
        values = list(row)
        for place, process in self._results:
            values[place] = process(values[place])
        return values


def result_processor(type_: TypeEngine[Any], dialect: Dialect) -> Process | None:
    """Return the converter of the driver's values for a type; None if there is none."""
    if isinstance(type_, Float):  # PostgreSQL's would look at each column of a result
        return None
    return type_.dialect_impl(dialect).result_processor(dialect, None)
