"""`flask backup` and `flask restore`: the whole database in one file, and back.

The file holds the output of the database's own tool, or the file of SQLite, compressed with
zstd; its checksum detects a truncated file. Passwords are passed to the tools in the
environment, never as options.
"""

import fcntl
import os
import re
import shutil
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Callable, NamedTuple

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy import text

from ...core.data.session import sql, unit_of_work
from ...core.observability.health import check_migrations
from .mariadb import dump_mariadb, load_mariadb
from .postgresql import dump_postgresql, load_postgresql
from .sqlite import dump_sqlite, load_sqlite
from .tools import CHUNK_BYTES, VERSION_TABLE, click_errors, pack, table_names, zstd

BACKUP_NAME = re.compile(r"myapp-\d{8}T\d{6}Z\.(sqlite3|dump|sql)\.zst")
WORK_FOLDER = ".myapp-unfinished"  # in the folder of backups: incomplete files


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=14,
    show_default=True,
    help="The number of backups to keep in FOLDER.",
)
@with_appcontext
def backup(folder, keep):
    """Back up the database to a file in FOLDER, and delete old backups there.

    The service can run meanwhile.
    """
    began = time.monotonic()
    with click_errors():
        if VERSION_TABLE not in table_names():
            raise click.ClickException("The database holds nothing of this service.")
        with exclusive_tempdir(folder) as unfinished:
            timestamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
            path = folder / f"myapp-{timestamp}.{backend().suffix}.zst"
            pack(unfinished / path.name, backend().dump)
            os.replace(unfinished / path.name, path)
            others = {
                path for path in folder.iterdir() if BACKUP_NAME.fullmatch(path.name)
            }
            for old in sorted(others - {path}, reverse=True)[keep - 1 :]:
                old.unlink()
        size = path.stat().st_size
    click.echo(f"{path}: {size} bytes in {time.monotonic() - began:.1f} s")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Replace the content of the database.")
@with_appcontext
def restore(file, replace):
    """Restore the database from the backup FILE.

    The database must be empty, unless --replace is given. The restore is one transaction,
    except on MariaDB: stop the service before; if the restore fails, the former content is
    restored from a copy.
    """
    with click_errors():
        verify(file)
        existing = table_names()
        if existing and not replace:
            raise click.ClickException(
                f"The database is not empty: {', '.join(existing)}. "
                "Use --replace to replace its content."
            )
        with zstd.open(file) as packed:
            backend().load(packed, existing)
        with unit_of_work(writes=False):
            revision = sql.session.scalar(
                text(f"SELECT version_num FROM {VERSION_TABLE}")
            )
            counts = [
                f"{sql.session.scalar(statement)} {label}"
                for feature in current_app.extensions["features"]
                for label, statement in feature.statistics.items()
            ]
    click.echo(f"Revision {revision}: {', '.join(counts)}.")
    click.echo(f"Migrations: {check_migrations()}")


@contextmanager
def open_folder(folder):
    """Yield the file descriptor of a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def exclusive_tempdir(folder):
    """Yield a temporary folder inside `folder`, and delete it afterwards.

    Raises ClickException if another backup is running.
    """
    with open_folder(folder) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise click.ClickException(
                f"{folder}: another backup is at work."
            ) from None
        unfinished = folder / WORK_FOLDER
        shutil.rmtree(unfinished, ignore_errors=True)  # left by a killed backup
        unfinished.mkdir(mode=0o700)
        try:
            yield unfinished
            os.fsync(descriptor)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def verify(path):
    """Read a backup to its end.

    Raises ClickException if it is damaged, or of another kind of database.
    """
    try:
        with zstd.open(path) as packed:
            last = first = packed.read(CHUNK_BYTES)
            while piece := packed.read(CHUNK_BYTES):
                last = last[-CHUNK_BYTES:] + piece
    except (EOFError, zstd.ZstdError):
        raise click.ClickException(f"{path} is damaged or not whole.") from None
    source = next((k for k in BACKENDS.values() if k.header_pattern.match(first)), None)
    if source is None:
        raise click.ClickException(f"{path} is no backup.")
    if source is not backend():
        raise click.ClickException(
            f"{path} is a backup of {source.name}: this is {backend().name}."
        )
    if not source.end_pattern.search(last):
        raise click.ClickException(f"{path} is not whole.")


def backend():
    """Return the Backend of the configured database."""
    return BACKENDS[sql.engine.dialect.name]


class Backend(NamedTuple):
    """How one kind of database is dumped to a file and loaded from it.

    `header_pattern`, `end_pattern`: identify a complete file. `dump(packed, folder)` writes
    to a file and may use the folder; `load(packed, tables)` replaces the tables by the
    content of a file.
    """

    name: str
    suffix: str
    header_pattern: re.Pattern
    end_pattern: re.Pattern
    dump: Callable
    load: Callable


BACKENDS = {
    "sqlite": Backend(
        *("SQLite", "sqlite3", re.compile(rb"SQLite format 3\0"), re.compile(b"")),
        *(dump_sqlite, load_sqlite),
    ),
    "postgresql": Backend(
        *("PostgreSQL", "dump", re.compile(b"PGDMP"), re.compile(b"")),
        *(dump_postgresql, load_postgresql),
    ),
    "mysql": Backend(
        *("MariaDB", "sql", re.compile(rb"(/\*.*\*/\s*)?-- MariaDB dump")),
        *(re.compile(rb"\n-- Dump completed"), dump_mariadb, load_mariadb),
    ),
}
BACKENDS["mariadb"] = BACKENDS["mysql"]
