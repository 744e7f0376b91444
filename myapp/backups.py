"""`flask backup` and `flask restore`: all of the database in one file, and back.

The file holds what the database's own tool writes, or SQLite's file, packed with zstd; the
checksum that ends it tells a whole file from half of one. The tools learn where to go, and
the password, from the environment, and from options only what is no secret.
"""

import fcntl
import os
import re
import shutil
import sqlite3
import sys
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Callable, NamedTuple

import click
from flask import current_app
from flask.cli import with_appcontext
from psycopg.pq import Conninfo
from sqlalchemy import func, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from .databases import PATIENCE, engine_options
from .db import Changed, check_migrations, sql, unit_of_work
from .moving import said

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

OURS = re.compile(r"myapp-\d{8}T\d{6}Z\.(sqlite3|dump|sql)\.zst")
UNFINISHED = ".myapp-unfinished"  # within the folder of backups: what is not whole
WITNESS = "alembic_version"  # the table that says: a database of this service
PIECE = 2**20  # bytes in memory


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=14,
    show_default=True,
    help="How many backups FOLDER holds in the end.",
)
@with_appcontext
def backup(folder, keep):
    """Write all of the database into one file in FOLDER; old ones there go.

    The service goes on meanwhile.
    """
    begun = time.monotonic()
    with plainly():
        if WITNESS not in tables():
            raise click.ClickException("The database holds nothing of this service.")
        with workshop(folder) as unfinished:
            moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
            made = folder / f"myapp-{moment}.{kind().suffix}.zst"
            pack(unfinished / made.name, kind().dump)
            os.replace(unfinished / made.name, made)
            others = {path for path in folder.iterdir() if OURS.fullmatch(path.name)}
            for path in sorted(others - {made}, reverse=True)[keep - 1 :]:
                path.unlink()
        size = made.stat().st_size
    click.echo(f"{made}: {size} bytes in {time.monotonic() - begun:.1f} s")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Whatever the database holds goes.")
@with_appcontext
def restore(file, replace):
    """Read a backup, FILE, into the database: an empty one, but for --replace.

    All or nothing. MariaDB cannot promise that: there the tables come one by one, stop the
    service before. If one cannot come, what was there is put back from a copy.
    """
    with plainly():
        examine(file)
        there = tables()
        if there and not replace:
            raise click.ClickException(
                f"The database is not empty: {', '.join(there)}. "
                "--replace gives it up for what the backup holds."
            )
        with zstd.open(file) as packed:
            kind().load(packed, there)
        with unit_of_work(writes=False):
            session, known = sql.session, sql.metadata.tables
            revision = session.scalar(text(f"SELECT version_num FROM {WITNESS}"))
            existing = known["users"].c.deleted_at.is_(None)
            users = select(func.count()).select_from(known["users"]).where(existing)
            devices = select(func.count()).select_from(known["devices"])
            counts = session.scalar(users), session.scalar(devices)
    click.echo("Revision {}: {} accounts, {} devices.".format(revision, *counts))
    click.echo(f"Migrations: {check_migrations()}")


@contextmanager
def plainly():
    """Say in one line what went wrong, without a trace."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, Changed) as error:
        raise click.ClickException(in_line(said(error.__cause__ or error))) from None
    except OSError as error:
        raise click.ClickException(
            f"{error.filename or 'The file'}: {error.strerror}."
        ) from None


def in_line(text):
    return " ".join(text.split())


def tables():
    """The names of the database's tables."""
    with unit_of_work(writes=False):
        return sorted(inspect(sql.session.connection()).get_table_names())


@contextmanager
def opened(folder):
    """The descriptor of a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def workshop(folder):
    """A folder within `folder` for what is not whole yet; it is gone afterwards.

    Raises ClickException where another backup is at work.
    """
    with opened(folder) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise click.ClickException(
                f"{folder}: another backup is at work."
            ) from None
        unfinished = folder / UNFINISHED
        shutil.rmtree(unfinished, ignore_errors=True)  # of one that was killed
        unfinished.mkdir(mode=0o700)
        try:
            yield unfinished
            os.fsync(descriptor)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def pack(path, dump):
    """Write a new file with what `dump` writes, that nobody else can read."""
    options = {zstd.CompressionParameter.checksum_flag: 1}
    with open(path, "xb", opener=partial(os.open, mode=0o600)) as file:
        with zstd.ZstdFile(file, "w", options=options) as packed:
            dump(packed, path.parent)
        file.flush()
        os.fsync(file.fileno())


def examine(path):
    """Read a backup to its end. Raises ClickException if it is damaged, or another
    database's."""
    try:
        with zstd.open(path) as packed:
            last = first = packed.read(PIECE)
            while piece := packed.read(PIECE):
                last = last[-PIECE:] + piece
    except (EOFError, zstd.ZstdError):
        raise click.ClickException(f"{path} is damaged or not whole.") from None
    found = next((k for k in KINDS.values() if k.begins.match(first)), None)
    if found is None:
        raise click.ClickException(f"{path} is no backup.")
    if found is not kind():
        raise click.ClickException(
            f"{path} is a backup of {found.name}: this is {kind().name}."
        )
    if not found.ends.search(last):
        raise click.ClickException(f"{path} is not whole.")


def kind():
    """What kind of database ours is."""
    return KINDS[sql.engine.dialect.name]


def parameters():
    """What the driver connects with, but for the limits of a statement's time."""
    name, ours = (
        sql.engine.dialect.name,
        current_app.config["SQLALCHEMY_ENGINE_OPTIONS"],
    )
    _, address = sql.engine.dialect.create_connect_args(sql.engine.url)
    unlimited = engine_options(name, {}, longest=0)["connect_args"]
    return address | ours["connect_args"] | unlimited


@contextmanager
def tool(command, environment, **pipes):
    """A program that runs while the block lasts, and is waited for.

    Raises ClickException with its own words if it fails.
    """
    with tempfile.TemporaryFile() as told:
        try:
            process = Popen(command, env=os.environ | environment, stderr=told, **pipes)
        except FileNotFoundError:
            raise click.ClickException(
                f"{command[0]} is not installed; it comes with the client of the database."
            ) from None
        failed = None
        try:
            yield process
        except (BrokenPipeError, click.ClickException) as error:
            failed = error  # it may know better why
        except BaseException:
            process.kill()
            raise
        finally:
            for pipe in filter(None, (process.stdin, process.stdout)):
                with suppress(BrokenPipeError):
                    pipe.close()
            code = process.wait()
        if code:
            told.seek(0)
            words = in_line(told.read().decode(errors="replace"))
            raise click.ClickException(words or f"{command[0]} ended with {code}.")
        if failed:
            raise failed


# SQLite


def dump_sqlite(packed, folder):
    copy = folder / "copy.sqlite3"
    with closing(sqlite3.connect(copy)) as target, live_sqlite() as live:
        live.backup(target, progress=impatient)
    with open(copy, "rb") as file:
        shutil.copyfileobj(file, packed, PIECE)


def load_sqlite(packed, _tables):
    with live_sqlite() as live:
        file = live.execute("PRAGMA database_list").fetchone()[2]
        beside = {"dir": os.path.dirname(file) or None, "prefix": ".myapp-restore-"}
        with tempfile.TemporaryDirectory(**beside) as folder:
            copy = Path(folder, "copy.sqlite3")
            with open(copy, "wb") as target:
                shutil.copyfileobj(packed, target, PIECE)
            with closing(sqlite3.connect(copy)) as fresh:
                check_sqlite(fresh)
                fresh.backup(live, progress=impatient)


def check_sqlite(connection):
    """Raises ClickException for a file that is damaged, or not this service's."""
    try:
        sound = connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
    except sqlite3.DatabaseError:
        sound = False
    if not sound:
        raise click.ClickException("The backup is damaged.")
    connection.execute(f"SELECT version_num FROM {WITNESS}")


@contextmanager
def live_sqlite():
    """The driver's connection to our own database."""
    with closing(sql.engine.raw_connection()) as connection:
        yield connection.driver_connection


def impatient(status, _left, _pages):
    # All pages go in one step: what is copied in several begins anew whenever somebody
    # writes. A step that finds the database locked has waited already.
    if status != sqlite3.SQLITE_DONE:
        raise click.ClickException("The database is locked; is the service stopped?")


# PostgreSQL


def dump_postgresql(packed, _folder):
    schema = f'--schema="{schema_name()}"'
    command = ["pg_dump", "--format=custom", "--compress=0", "--no-password", schema]
    with tool(command, libpq(), stdout=PIPE) as process:
        shutil.copyfileobj(process.stdout, packed, PIECE)


def load_postgresql(packed, tables):
    schema, quoted = (
        schema_name(),
        sql.engine.dialect.identifier_preparer.quote_identifier,
    )
    own = quoted(schema)
    drops = [f"DROP TABLE {own}.{quoted(name)} CASCADE;\n" for name in tables]
    told = ["--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse", "--no-password"]
    restored = ["--no-owner", "--no-privileges", "--no-comments", f"--schema={schema}"]
    psql = ["psql", "--no-psqlrc", "--quiet", *told]
    with tool(psql, libpq(), stdin=PIPE, stdout=DEVNULL) as target:
        target.stdin.write("".join(["BEGIN;\n", *drops]).encode())
        target.stdin.flush()
        pg_restore = ["pg_restore", *restored, "--file=-"]
        with tool(pg_restore, {}, stdin=PIPE, stdout=target.stdin) as script:
            shutil.copyfileobj(packed, script.stdin, PIECE)
        # Only now: without it, psql goes and leaves everything as it was.
        end = f"SELECT version_num FROM {own}.{WITNESS};\nCOMMIT;\n"
        target.stdin.write(end.encode())


def schema_name():
    with unit_of_work(writes=False):
        return sql.session.scalar(select(func.current_schema()))


def libpq():
    """What PostgreSQL's tools are to connect with, as environment."""
    given = parameters()
    return {
        option.envvar.decode(): str(given[option.keyword.decode()])
        for option in Conninfo.get_defaults()
        if option.envvar and given.get(option.keyword.decode()) is not None
    }


# MariaDB


def dump_mariadb(packed, _folder):
    how = ["--single-transaction", "--quick", "--skip-add-locks"]
    with mariadb("mariadb-dump", *how, stdout=PIPE) as process:
        shutil.copyfileobj(process.stdout, packed, PIECE)


def load_mariadb(packed, tables):
    folder = Path(tempfile.mkdtemp(prefix="myapp-restore-"))
    before = folder / "before.sql.zst"
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        if tables:
            pack(before, dump_mariadb)
        try:
            fill_mariadb(packed)
            with unit_of_work(writes=False):
                sql.session.execute(text(f"SELECT version_num FROM {WITNESS}"))
        except BaseException as error:
            try:
                with zstd.open(before) if tables else nullcontext() as former:
                    fill_mariadb(former)
            except Exception:
                stack.pop_all()  # the copy stays
                raise click.ClickException(
                    f"{in_line(said(error))} It could not be put back either: what was "
                    f"there is in {before}."
                ) from None
            raise


def fill_mariadb(packed):
    """Drop all tables; make those of a dump, unless it is None."""
    quoted = sql.engine.dialect.identifier_preparer.quote_identifier
    if there := ", ".join(map(quoted, tables())):
        with sql.engine.connect() as connection:
            connection.detach()  # nobody else gets it with these settings
            patience = (
                f"SET SESSION lock_wait_timeout = {PATIENCE}, foreign_key_checks = 0"
            )
            connection.execute(text(patience))
            connection.exec_driver_sql(f"DROP TABLE {there}")
    if packed:
        with mariadb("mariadb", stdin=PIPE) as process:
            shutil.copyfileobj(packed, process.stdin, PIECE)


def mariadb(program, *options, **pipes):
    """One of MariaDB's tools on our database, as `tool` yields it.

    What the driver checks of a certificate they check wholly or not at all.
    """
    given = parameters()
    tls = {n.removeprefix("ssl_"): v for n, v in given.items() if n.startswith("ssl_")}
    checked = tls.get("verify_cert") or tls.get("verify_identity")
    if isinstance(given.get("ssl"), dict):
        tls = given["ssl"]
        checked = {"ca", "capath"} & set(tls) and tls.get("check_hostname", True)
    named = {
        "host": given.get("host"),
        "port": given.get("port"),
        "user": given.get("user"),
        "socket": given.get("unix_socket"),
        "protocol": "socket" if given.get("unix_socket") else "tcp",
        **{f"ssl-{n}": tls.get(n) for n in ("ca", "capath", "cert", "key", "cipher")},
    }
    command = [
        *(program, "--no-defaults", "--default-character-set=utf8mb4"),
        *(f"--{name}={value}" for name, value in named.items() if value),
        *(["--ssl"] if tls else []),
        "--ssl-verify-server-cert" if checked else "--skip-ssl-verify-server-cert",
        *(*options, given["database"]),
    ]
    return tool(command, {"MYSQL_PWD": given.get("password") or ""}, **pipes)


class Kind(NamedTuple):
    """How a kind of database is written to a file, and read from it.

    `begins`, `ends`: what a file is known by. `dump(packed, folder)` writes to a file, and
    may use the folder; `load(packed, tables)` puts what it reads in the place of `tables`.
    """

    name: str
    suffix: str
    begins: re.Pattern
    ends: re.Pattern
    dump: Callable
    load: Callable


KINDS = {
    "sqlite": Kind(
        *("SQLite", "sqlite3", re.compile(rb"SQLite format 3\0"), re.compile(b"")),
        *(dump_sqlite, load_sqlite),
    ),
    "postgresql": Kind(
        *("PostgreSQL", "dump", re.compile(b"PGDMP"), re.compile(b"")),
        *(dump_postgresql, load_postgresql),
    ),
    "mysql": Kind(
        *("MariaDB", "sql", re.compile(rb"(/\*.*\*/\s*)?-- MariaDB dump")),
        *(re.compile(rb"\n-- Dump completed"), dump_mariadb, load_mariadb),
    ),
}
KINDS["mariadb"] = KINDS["mysql"]
