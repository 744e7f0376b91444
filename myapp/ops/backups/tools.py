"""What the backups of all databases share: their tools, their errors, the packed file."""

import os
import sqlite3
import sys
import tempfile
from contextlib import contextmanager, suppress
from functools import partial
from subprocess import Popen

import click
from flask import current_app
from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError

from ...core.data.dialects import engine_options
from ...core.data.session import RetryTransaction, sql, unit_of_work
from ..copy_database import error_message

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

VERSION_TABLE = "alembic_version"  # the table that says: a database of this service
CHUNK_BYTES = 2**20  # bytes in memory


@contextmanager
def click_errors():
    """Say in one line what went wrong, without a trace."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, RetryTransaction) as error:
        raise click.ClickException(
            on_one_line(error_message(error.__cause__ or error))
        ) from None
    except OSError as error:
        raise click.ClickException(
            f"{error.filename or 'The file'}: {error.strerror}."
        ) from None


def on_one_line(text):
    return " ".join(text.split())


def connect_params():
    """What the driver connects with, but for the limits of a statement's time."""
    dialect, ours = sql.engine.dialect, current_app.config["SQLALCHEMY_ENGINE_OPTIONS"]
    _, address = dialect.create_connect_args(sql.engine.url)
    unlimited = engine_options(dialect.name, {}, statement_timeout=0)["connect_args"]
    return address | ours["connect_args"] | unlimited


@contextmanager
def run_tool(command, environment, **pipes):
    """A program that runs while the block lasts, and is waited for.

    Raises ClickException with its own words if it fails.
    """
    with tempfile.TemporaryFile() as stderr:
        try:
            process = Popen(
                command, env=os.environ | environment, stderr=stderr, **pipes
            )
        except FileNotFoundError:
            raise click.ClickException(
                f"{command[0]} is not installed; it comes with the client of the database."
            ) from None
        block_error = None
        try:
            yield process
        except (BrokenPipeError, click.ClickException) as error:
            block_error = error  # it may know better why
        except BaseException:
            process.kill()
            raise
        finally:
            for pipe in filter(None, (process.stdin, process.stdout)):
                with suppress(BrokenPipeError):
                    pipe.close()
            code = process.wait()
        if code:
            stderr.seek(0)
            words = on_one_line(stderr.read().decode(errors="replace"))
            raise click.ClickException(words or f"{command[0]} ended with {code}.")
        if block_error:
            raise block_error


def table_names():
    """The names of the database's tables."""
    with unit_of_work(writes=False):
        return sorted(inspect(sql.session.connection()).get_table_names())


def pack(path, dump):
    """Write a new file with what `dump` writes, that nobody else can read."""
    options = {zstd.CompressionParameter.checksum_flag: 1}
    with open(path, "xb", opener=partial(os.open, mode=0o600)) as file:
        with zstd.ZstdFile(file, "w", options=options) as packed:
            dump(packed, path.parent)
        file.flush()
        os.fsync(file.fileno())
