"""`flask backup` and `flask restore`: the whole database in one portable file.

The file is a ZIP with manifest.json and, for each table, a member <table>.ndjson.zst: a
JSON array with the names of the columns, then one for each row, all of one snapshot,
compressed with zstd. The manifest has the revision of the schema, and the rows, the
checksum and the next id of each table. Nothing in it depends on the kind of the database,
so a restore can also move to another one.

Rows are restored in batches. Each batch is committed together with the progress, in a table
that is dropped at the end, so that an interrupted restore can be resumed.
"""

import os
import sys
import time
from contextlib import contextmanager
from datetime import UTC, date, datetime
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile
from zipfile import BadZipFile, ZipFile

import click
import orjson
from flask import current_app
from flask.cli import with_appcontext
from flask_migrate import upgrade
from sqlalchemy import (
    JSON,
    Column,
    Date,
    DateTime,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.exc import DataError, IntegrityError

from ..core.data.dialects import without_timeouts
from ..core.data.migrations import unknown_revisions
from ..core.data.session import sql
from ..core.observability.health import check_migrations
from .databases import (
    click_errors,
    drop_all,
    error_message,
    has_rows,
    next_id,
    read_schema,
    set_next_id,
    snapshot,
    zstd,
)

BATCH_ROWS = 1000  # in memory, and in a transaction
MANIFEST = "manifest.json"
VERSION_TABLE = "alembic_version"
ABANDONED_SECONDS = 24 * 3600  # the age of an unfinished file that is deleted
# The functions that convert the JSON values of a type; others need no conversion.
DECODERS = {
    DateTime: datetime.fromisoformat,
    Date: date.fromisoformat,
    LargeBinary: bytes.fromhex,
}
PROGRESS = Table(
    "restore_progress",
    MetaData(),
    Column("archive", Text, nullable=False),  # the checksum of the manifest
    Column("position", JSON, nullable=False),  # {table: number of restored rows}
)
INTERNAL_TABLES = {VERSION_TABLE, PROGRESS.name}
RESUME_HINT = "Run the same command again to resume."


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=14,
    show_default=True,
    help="The number of backups to keep, if PATH is a folder.",
)
@with_appcontext
def backup(path, keep):
    """Back up the database to PATH: a new file, or a folder of backups.

    The service can run meanwhile. The file can be restored into any supported database.
    """
    began, folder = time.monotonic(), path if path.is_dir() else None
    with click_errors():
        if folder:
            path = folder / f"myapp-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.zip"
        if path.exists():
            raise click.ClickException(f"{path} exists already.")
        write_archive(path)
        if folder:
            delete_old(folder, keep)
    size, seconds = path.stat().st_size, time.monotonic() - began
    click.echo(f"{path}: {size} bytes in {seconds:.1f} s")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Replace the content of the database.")
@with_appcontext
def restore(file, replace):
    """Restore the database from the backup FILE, and compare the two.

    Stop the service first. The database must be empty, unless --replace is given: then its
    content is backed up to the instance folder first. If interrupted, run the same command
    again to resume.
    """
    with click_errors(), open_archive(file) as archive, without_timeouts(sql.engine):
        manifest, tables = prepare(archive, replace)
        with click_errors(RESUME_HINT):
            for table in tables:
                load_table(archive, manifest, table)
        with sql.engine.begin() as connection:
            for table in tables:
                set_next_id(
                    connection, table, manifest["tables"][table.name]["next_id"]
                )
        with snapshot() as connection:
            restored = {table.name: read_table(connection, table) for table in tables}
        different = [
            name
            for name, result in restored.items()
            if result != expected(manifest, name)
        ]
        if different:
            raise click.ClickException(
                f"These tables differ from the backup: {', '.join(different)}. Use "
                "--replace to start again."
            )
        PROGRESS.drop(sql.engine)
    for name, (rows, checksum) in restored.items():
        click.echo(f"{name:<16} {rows:>10}  {checksum}")
    click.echo(f"Revision {manifest['revision']}. Migrations: {check_migrations()}")


# The file


@contextmanager
def new_file(path):
    """Yield a file that only its owner can read, and that becomes `path` when complete."""
    options = {"dir": path.parent, "prefix": ".myapp-", "suffix": ".part"}
    with NamedTemporaryFile(delete=False, **options) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def delete_old(folder, keep):
    """Delete all but the newest backups of a folder, and the files of killed commands."""
    for path in folder.glob(".myapp-*.part"):
        if path.stat().st_mtime < time.time() - ABANDONED_SECONDS:
            path.unlink(missing_ok=True)
    digits = "[0-9]"
    names = f"myapp-{digits * 8}T{digits * 6}Z.zip"
    for path in sorted(folder.glob(names))[:-keep]:
        path.unlink(missing_ok=True)


def write_archive(path):
    """Write the whole database to a new file."""
    with without_timeouts(sql.engine), snapshot() as connection, new_file(path) as file:
        names = inspect(connection).get_table_names()
        if VERSION_TABLE not in names:
            raise click.ClickException("The database has no tables of this service.")
        if PROGRESS.name in names:
            raise click.ClickException("The database is an unfinished restore.")
        version = text(f"SELECT version_num FROM {VERSION_TABLE}")
        manifest = {"revision": connection.scalar(version), "tables": {}}
        with ZipFile(file, "w") as archive:
            for table in read_schema(connection, INTERNAL_TABLES):
                with (
                    archive.open(member(table.name), "w", force_zip64=True) as target,
                    zstd.ZstdFile(target, "w") as packed,
                ):
                    packed.write(encode(map(str, table.columns.keys())))
                    rows, checksum = read_table(connection, table, packed.write)
                manifest["tables"][str(table.name)] = {
                    "rows": rows,
                    "checksum": checksum,
                    "next_id": next_id(connection, table),
                }
            options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
            archive.writestr(MANIFEST, orjson.dumps(manifest, option=options))


@contextmanager
def open_archive(path):
    """Yield a backup. Raises ClickException if it is damaged, or not a backup."""
    try:
        archive = ZipFile(path)
        check_archive(archive)
    except (BadZipFile, EOFError, KeyError, ValueError, zstd.ZstdError):
        raise click.ClickException(f"{path} is damaged, or not a backup.") from None
    with archive:
        yield archive


def check_archive(archive):
    """Read a backup to its end. Raises ValueError if its rows and checksums differ."""
    manifest = read_manifest(archive)
    for name in manifest["tables"]:
        rows = checksum = 0
        with progress_bar("check", name, expected(manifest, name)[0]) as bar:
            for lines in batches(archive, name):
                checksum += sum(map(row_checksum, lines))
                rows += len(lines)
                bar.update(len(lines))
        if (rows, hexadecimal(checksum)) != expected(manifest, name):
            raise ValueError(name)


def read_manifest(archive):
    """Return the manifest of a backup."""
    return orjson.loads(archive.read(MANIFEST))


def expected(manifest, name):
    """Return the number of rows and the checksum of a table in a backup."""
    entry = manifest["tables"][name]
    return entry["rows"], entry["checksum"]


def member(name):
    """Return the name of the member of the ZIP for a table."""
    return f"{name}.ndjson.zst"


def batches(archive, name, skip=0):
    """Yield lists of the lines of a table, without the header and the first `skip` rows."""
    with archive.open(member(name)) as packed, zstd.ZstdFile(packed) as file:
        lines = islice(file, 1 + skip, None)
        while batch := list(islice(lines, BATCH_ROWS)):
            yield batch


# The database


def read_table(connection, table, write=lambda lines: None):
    """Pass the lines of a table to `write`; return the number of rows and the checksum."""
    total = connection.scalar(select(func.count()).select_from(table))
    rows = checksum = 0
    statement = select(table).order_by(*table.primary_key)
    options = {"stream_results": True, "yield_per": BATCH_ROWS}
    with progress_bar("read", table.name, total) as bar:
        result = connection.execute(statement, execution_options=options)
        for partition in result.partitions():
            lines = [encode(row) for row in partition]
            write(b"".join(lines))
            checksum += sum(map(row_checksum, lines))
            rows += len(lines)
            bar.update(len(lines))
    return rows, hexadecimal(checksum)


def encode(row):
    """Return a row as a line of JSON, the same on every database."""
    options = orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(tuple(row), default=bytes.hex, option=options)


def row_checksum(line):
    """Return the checksum of a row as an integer."""
    return int.from_bytes(blake2b(line, digest_size=16).digest(), "big")


def hexadecimal(checksum):
    """Return the sum of the checksums of rows as text; their order does not matter."""
    return f"{checksum % 2**128:032x}"


def prepare(archive, replace):
    """Create the tables of a backup; return its manifest and the tables.

    Raises ClickException if the database has other content, unless it may be replaced.
    """
    manifest = read_manifest(archive)
    digest = blake2b(archive.read(MANIFEST), digest_size=16).hexdigest()
    revision = manifest["revision"]
    if unknown_revisions({revision}):
        raise click.ClickException(
            f"The backup is at revision {revision}, which this release does not know: it "
            "is of a newer release, or of another service."
        )
    with snapshot() as connection:
        names = inspect(connection).get_table_names()
        resumed = PROGRESS.name in names and digest == connection.scalar(
            select(PROGRESS.c.archive)
        )
        filled = [
            table.name
            for table in read_schema(connection, INTERNAL_TABLES)
            if has_rows(connection, table)
        ]
    if not resumed or replace:
        if filled and not replace:
            raise click.ClickException(
                f"The database is not empty: {', '.join(sorted(filled))}. Use --replace to "
                "replace its content."
            )
        if filled and PROGRESS.name not in names:
            former = Path(current_app.instance_path, f"replaced-{time.time_ns()}.zip")
            write_archive(former)
            click.echo(f"The former content is in {former}.")
        drop_all()
        upgrade(revision=revision)
        with sql.engine.begin() as connection:
            PROGRESS.create(connection)
            connection.execute(insert(PROGRESS).values(archive=digest, position={}))
    with snapshot() as connection:
        return manifest, [
            table
            for table in read_schema(connection, INTERNAL_TABLES)
            if table.name in manifest["tables"]
        ]


def load_table(archive, manifest, table):
    """Insert the rows of a table that are not yet restored."""
    with sql.engine.connect() as connection:
        position = connection.scalar(select(PROGRESS.c.position))
    done = position.get(table.name, 0)
    with archive.open(member(table.name)) as packed, zstd.ZstdFile(packed) as lines:
        names = orjson.loads(next(lines))
    decoders = [decoder(table.columns[name].type) for name in names]
    with progress_bar(
        "restore", table.name, expected(manifest, table.name)[0] - done
    ) as bar:
        for lines in batches(archive, table.name, done):
            rows = [decode(line, names, decoders) for line in lines]
            position[table.name] = done = done + len(lines)
            try:
                with sql.engine.begin() as connection:
                    connection.execute(insert(table), rows)
                    connection.execute(update(PROGRESS).values(position=position))
            except (DataError, IntegrityError) as error:
                raise click.ClickException(
                    f"The database refuses rows {done - len(lines) + 1} to {done} of "
                    f"{table.name}: {error_message(error)}. Use --replace to start again."
                ) from None
            bar.update(len(lines))


def decoder(type_):
    """Return the function that converts a JSON value for a column, or None."""
    if isinstance(type_, TypeDecorator):
        type_ = type_.impl_instance
    return next((f for kind, f in DECODERS.items() if isinstance(type_, kind)), None)


def decode(line, names, decoders):
    """Return a row as {column: value}."""
    return {
        name: decode(value) if decode and value is not None else value
        for name, decode, value in zip(names, decoders, orjson.loads(line))
    }


def progress_bar(verb, name, length):
    """Return a progress bar, which is shown only on a terminal."""
    return click.progressbar(
        length=length,
        label=f"{verb:<8} {name:<16}",
        show_pos=True,
        hidden=not sys.stderr.isatty(),
        file=sys.stderr,
    )
