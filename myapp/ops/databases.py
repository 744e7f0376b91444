"""Helpers of the commands that work on databases: other engines, and errors."""

import sqlite3
import sys
from contextlib import contextmanager

import click
from flask import Flask, current_app
from sqlalchemy import MetaData, func, literal, select, text
from sqlalchemy.exc import SQLAlchemyError

from ..core.data import migrations, session
from ..core.data.dialects import without_timeouts
from ..core.data.session import RetryTransaction, sql, unit_of_work

if sys.version_info >= (3, 14):
    from compression import zstd  # noqa: F401
else:
    from backports import zstd  # noqa: F401


@contextmanager
def click_errors(hint=""):
    """Report an error of a database or a file in one line, without a traceback.

    `hint`: a sentence that follows the message.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise click.ClickException(f"Interrupted. {hint}".strip()) from None
    except (SQLAlchemyError, sqlite3.Error, RetryTransaction) as error:
        words = error_message(error.__cause__ or error).split()
        raise click.ClickException(" ".join([*words, hint]).strip()) from None
    except OSError as error:
        place = error.filename or "The file"
        raise click.ClickException(f"{place}: {error.strerror}.") from None


def error_message(error):
    """Return the message of a database error, without the statement and its values."""
    return str(getattr(error, "orig", None) or error).strip()


@contextmanager
def scratch_database(file):
    """Use the SQLite database in `file` instead of the configured one in this block."""
    app = Flask("scratch", instance_path=current_app.instance_path)
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{file}"
    app.config["REDIS_URL"] = current_app.config["REDIS_URL"]
    session.init_app(app)
    migrations.init_app(app)
    with app.app_context(), without_timeouts(sql.engine):
        yield


@contextmanager
def snapshot():
    """Yield a connection whose statements all see the same state of the database."""
    with unit_of_work(writes=False), sql.engine.connect() as connection:
        if connection.dialect.name != "sqlite":  # in a transaction, this is its default
            connection.execution_options(isolation_level="REPEATABLE READ")
        yield connection


def read_schema(connection, without=()):
    """Return the tables of the database, in the order of their foreign keys.

    Columns that a model has are of its type, since databases do not tell all types.
    `without`: the names of tables to leave out.
    """
    metadata = MetaData()
    metadata.reflect(connection, only=lambda name, _: name not in without)
    for table in metadata.sorted_tables:
        model = sql.metadata.tables.get(table.name)
        for column in table.columns:
            if model is not None and column.name in model.columns:
                column.type = model.columns[column.name].type
    return metadata.sorted_tables


def has_rows(connection, table):
    """Return whether a table has rows."""
    return (
        connection.execute(select(literal(1)).select_from(table).limit(1)).first()
        is not None
    )


def drop_all():
    """Drop all tables of the database."""
    metadata = MetaData()
    with sql.engine.begin() as connection:
        metadata.reflect(connection)
        metadata.drop_all(connection)


def next_id(connection, table):
    """Return the id of the next row of a table, which no deleted row has had either."""
    if table.autoincrement_column is None:
        return None
    last = connection.scalar(select(func.max(table.autoincrement_column)))
    counter = {
        "postgresql": f"SELECT last_value + is_called::int FROM {sequence_name(table)}",
        "sqlite": "SELECT seq + 1 FROM sqlite_sequence WHERE name = :name",
    }.get(
        connection.dialect.name,
        "SELECT auto_increment FROM information_schema.tables "
        "WHERE table_schema = DATABASE() AND table_name = :name",
    )
    names = {"name": table.name} if ":name" in counter else {}
    return max(connection.scalar(text(counter), names) or 1, (last or 0) + 1)


def set_next_id(connection, table, upcoming):
    """Set the id of the next row of a table; nothing if its ids are not generated."""
    if table.autoincrement_column is None:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.setval(sequence_name(table), upcoming, False)))
    elif connection.dialect.name == "sqlite":
        values = {"name": table.name, "seq": upcoming - 1}
        delete = text("DELETE FROM sqlite_sequence WHERE name = :name")
        connection.execute(delete, {"name": table.name})
        connection.execute(
            text("INSERT INTO sqlite_sequence VALUES (:name, :seq)"), values
        )
    else:
        connection.execute(
            text(f"ALTER TABLE {table.name} AUTO_INCREMENT = {upcoming}")
        )


def sequence_name(table):
    """Return the name of the PostgreSQL sequence of the ids of a table."""
    return f"{table.name}_{table.autoincrement_column.name}_seq"
