"""Back up and restore SQLite with its backup API."""

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path

import click

from ...core.data.session import sql
from .tools import CHUNK_BYTES, VERSION_TABLE


def dump_sqlite(packed, folder):
    """Copy the database to a file."""
    copy = folder / "copy.sqlite3"
    with closing(sqlite3.connect(copy)) as target, live_sqlite() as live:
        live.backup(target, progress=fail_if_locked)
    with open(copy, "rb") as file:
        shutil.copyfileobj(file, packed, CHUNK_BYTES)


def load_sqlite(packed, _tables):
    """Replace the database by a file."""
    with live_sqlite() as live:
        file = live.execute("PRAGMA database_list").fetchone()[2]
        beside = {"dir": os.path.dirname(file) or None, "prefix": ".myapp-restore-"}
        with tempfile.TemporaryDirectory(**beside) as folder:
            copy = Path(folder, "copy.sqlite3")
            with open(copy, "wb") as target:
                shutil.copyfileobj(packed, target, CHUNK_BYTES)
            with closing(sqlite3.connect(copy)) as fresh:
                check_sqlite(fresh)
                fresh.backup(live, progress=fail_if_locked)


def check_sqlite(connection):
    """Raise an error if a file is damaged or holds no database of the service."""
    try:
        is_valid = connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
    except sqlite3.DatabaseError:
        is_valid = False
    if not is_valid:
        raise click.ClickException("The backup is damaged.")
    connection.execute(f"SELECT version_num FROM {VERSION_TABLE}")


@contextmanager
def live_sqlite():
    """Yield the connection of the driver to the configured database."""
    with closing(sql.engine.raw_connection()) as connection:
        yield connection.driver_connection


def fail_if_locked(status, _left, _pages):
    """Raise ClickException if a step of the copy has found the database locked.

    The copy is one step, because several steps would start over after each write.
    """
    if status != sqlite3.SQLITE_DONE:
        raise click.ClickException("The database is locked; is the service stopped?")
