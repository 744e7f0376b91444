"""Helpers for the backups of all databases: tools, errors, compressed files."""

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

VERSION_TABLE = "alembic_version"  # identifies a database of this service
CHUNK_BYTES = 2**20  # in memory


@contextmanager
def click_errors():
    """Report an error in one line, without a traceback."""
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
    """Return a text with each run of white space replaced by a space."""
    return " ".join(text.split())


def connect_params():
    """Return the connection parameters of the driver, without statement timeouts."""
    dialect, ours = sql.engine.dialect, current_app.config["SQLALCHEMY_ENGINE_OPTIONS"]
    _, address = dialect.create_connect_args(sql.engine.url)
    unlimited = engine_options(dialect.name, {}, statement_timeout=0)["connect_args"]
    return address | ours["connect_args"] | unlimited


@contextmanager
def run_tool(command, environment, **pipes):
    """Run a program during the block, and wait for its end.

    Raises ClickException with its error output if it fails.
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
            block_error = error  # the error output of the tool may explain it
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
    """Return the names of the tables of the database."""
    with unit_of_work(writes=False):
        return sorted(inspect(sql.session.connection()).get_table_names())


def pack(path, dump):
    """Create a compressed file, readable only by its owner, from the output of `dump`."""
    options = {zstd.CompressionParameter.checksum_flag: 1}
    with open(path, "xb", opener=partial(os.open, mode=0o600)) as file:
        with zstd.ZstdFile(file, "w", options=options) as packed:
            dump(packed, path.parent)
        file.flush()
        os.fsync(file.fileno())
