"""`flask move-db`: everything from one database to another, whichever two they are.

Nobody can write to the source meanwhile. Rows go over in batches, in the order of their
keys. Each is committed together with how far it got, in a table of its own on the target,
so that whoever is broken off goes on from there; that table goes once all is compared.
"""

from contextlib import contextmanager
from hashlib import blake2b

import click
import orjson
from flask import Flask, current_app
from flask.cli import with_appcontext
from flask_migrate import upgrade
from sqlalchemy import (
    JSON,
    Column,
    MetaData,
    Table,
    Text,
    and_,
    func,
    insert,
    inspect,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    SQLAlchemyError,
)

from ..core.data import migrations, session
from ..core.data.dialects import without_timeouts
from ..core.data.migrations import current_revisions, unknown_revisions
from ..core.data.session import sql, unit_of_work
from ..core.observability.health import check_migrations
from ..core.settings import database_uri

COPY_BATCH_ROWS = 1000  # rows in memory, and at most lost when it is broken off
DRIVERS = {"sqlite", "postgresql+psycopg", "mysql+pymysql", "mariadb+pymysql"}
INVALID_TARGET = "--to makes no sense."
RESUME_HINT = "The same command goes on from here."
RESTART_HINT = "Make the target anew, empty, and start again."

# What the target is a copy of, and the last key of each table that has come over.
PROGRESS_TABLE = Table(
    "move_db",
    MetaData(),
    Column("source", Text, nullable=False),
    Column("reached", JSON, nullable=False),
)


@click.command("move-db")
@click.option(
    "--to",
    "uri",
    required=True,
    envvar="MOVE_DB_TO",
    metavar="URI",
    help="The other database, as DATABASE_URL names one; it must be there, and empty. "
    "MOVE_DB_TO says it, too, and shows its password in no list of processes.",
)
@with_appcontext
def move_db(uri):
    """Copy everything into another database, and compare.

    Stop the service first. Broken off, the same command goes on where it was.
    """
    uri = parse_target_url(uri)
    try:
        if unknown_revisions(current_revisions()):
            raise click.ClickException(
                "The source is of a newer release: it knows more."
            )
        if check_migrations() != "ok":
            raise click.ClickException(f"The source's tables: {check_migrations()}.")
        with unit_of_work(writes=False):
            if inspect(sql.session.connection()).has_table(PROGRESS_TABLE.name):
                raise click.ClickException("The source is an unfinished copy itself.")
        engine, origin = sql.engine, database_location(sql.engine)
        with open_target(uri) as target:
            destination = database_location(target)
            if destination == "sqlite:///":
                raise click.ClickException("--to names no file.")
            if destination == origin:
                raise click.ClickException("The target is the source.")
            with lock_source(engine) as source:
                copy_all(source, target, origin)
    except KeyboardInterrupt:
        raise click.ClickException(f"Broken off. {RESUME_HINT}") from None
    except SQLAlchemyError as error:
        raise click.ClickException(f"{error_message(error)}\n{RESUME_HINT}") from None
    click.echo("Done. Let DATABASE_URL name the target now, and start the service.")


def parse_target_url(uri):
    """`uri` with its driver named. Raises ClickException, which holds no password."""
    try:
        uri = database_uri(uri)
        url = make_url(uri)
    except (ArgumentError, ValueError):
        raise click.ClickException(INVALID_TARGET) from None
    location = f"{url.host}{url.database if url.get_backend_name() != 'sqlite' else ''}"
    if "@" in location:  # the end of a password, if we named the host
        raise click.ClickException(
            "--to has two @; in a password, @ is written %40, and / %2F."
        )
    if url.drivername not in DRIVERS:
        raise click.ClickException(
            "--to must begin with sqlite:///, postgresql://, mysql:// or mariadb://."
        )
    if not url.database:
        raise click.ClickException("--to names no database.")
    return uri


@contextmanager
def lock_source(engine):
    """A connection to a database that nobody can write to meanwhile."""
    names = ", ".join(table.name for table in sql.metadata.sorted_tables)
    with without_timeouts(engine), engine.connect() as connection:
        connection.detach()  # closed at the end, as MariaDB keeps the locks until then
        try:
            if engine.dialect.name == "postgresql":
                connection.execute(text(f"LOCK TABLE {names} IN SHARE MODE"))
            elif engine.dialect.name == "sqlite":
                connection.begin()  # as a writer, of whom there is only one
            else:
                names = names.replace(",", " READ,")
                connection.execute(text(f"LOCK TABLES {names} READ"))
        except DBAPIError as error:
            raise click.ClickException(
                "The source cannot be locked; is the service stopped? "
                f"{error_message(error)}"
            ) from None
        yield connection


@contextmanager
def open_target(uri):
    """The engine of another database, as the service itself would have it.

    Raises ClickException where there is none, without the password.
    """
    app = Flask("move_db", instance_path=current_app.instance_path)
    app.config["SQLALCHEMY_DATABASE_URI"] = uri
    app.config["REDIS_URL"] = current_app.config["REDIS_URL"]
    try:
        session.init_app(app)
        migrations.init_app(app)
        with app.app_context():
            sql.engine.connect().close()
    except DBAPIError as error:
        raise click.ClickException(f"No target there: {error_message(error)}") from None
    except Exception:  # a driver's own, which may tell the option that it chokes on
        raise click.ClickException(INVALID_TARGET) from None
    with app.app_context():
        with without_timeouts(sql.engine):
            yield sql.engine


def copy_all(source, target, origin):
    """Copy from a connection to an engine, and compare.

    `origin`: the place of the source. Raises ClickException.
    """
    tables = sql.metadata.sorted_tables
    checkpoint = prepare_target(target, origin)
    for table in tables:
        copy_table(source, target, table, checkpoint)
    for table in tables:
        if table.autoincrement_column is not None:
            with target.begin() as connection:
                set_next_id(connection, table, next_id(source, table))
    results = [compare_table(source, target, table) for table in tables]
    for table, (there, here) in zip(tables, results):
        for rows, checksum in dict.fromkeys((there, here)):
            click.echo(f"{table.name:<12} {rows:>10}  {checksum}")
    unlike = [t.name for t, (there, here) in zip(tables, results) if there != here]
    if unlike:
        raise click.ClickException(
            f"Not alike, the source above the target: {', '.join(unlike)}. One of them "
            f"was written to since this began. {RESTART_HINT}"
        )
    PROGRESS_TABLE.drop(target)


def prepare_target(target, origin):
    """Give the target its tables; returns the last key of each that has come over.

    Raises ClickException for a target that holds anything but a part of `origin`.
    """
    tables = {table.name: table for table in sql.metadata.sorted_tables}
    with target.begin() as connection:
        there = set(inspect(connection).get_table_names())
        progress_row = None
        if PROGRESS_TABLE.name in there:
            progress_row = connection.execute(select(PROGRESS_TABLE)).first()
        if progress_row and progress_row.source != origin:
            raise click.ClickException(
                f"The target is an unfinished copy of {progress_row.source}, not of "
                f"{origin}."
            )
        if not progress_row:
            strange = there - {*tables, PROGRESS_TABLE.name, "alembic_version"}
            filled = strange | {
                name
                for name in there & tables.keys()
                if connection.execute(
                    select(literal(1)).select_from(tables[name]).limit(1)
                ).first()
            }
            if filled:
                named = ", ".join(sorted(filled))
                raise click.ClickException(f"The target is not empty: {named}.")
            PROGRESS_TABLE.create(connection, checkfirst=True)
            connection.execute(insert(PROGRESS_TABLE).values(source=origin, reached={}))
    try:
        upgrade()
    except SQLAlchemyError as error:
        raise click.ClickException(
            f"The target cannot have its tables: {error_message(error)}\n{RESTART_HINT}"
        ) from None
    return progress_row.reached if progress_row else {}


def database_location(engine):
    """Where a database is, without who goes there and how."""
    url = engine.url
    kind = url.get_backend_name().replace("mysql", "mariadb")
    if kind == "sqlite":  # a name has many forms, and the file one
        with unit_of_work(writes=False), engine.connect() as connection:
            main = connection.execute(text("PRAGMA database_list")).first()
        return f"sqlite:///{main.file}"
    host = url.host or url.query.get("host") or url.query.get("unix_socket")
    port = url.port or url.query.get("port")
    return f"{kind}://{host or ''}:{port or ''}/{url.database}"


def copy_table(source, target, table, checkpoint):
    """Bring over what is beyond the last key in `checkpoint`, and note it there."""
    last = checkpoint.get(table.name)
    key = [column.name for column in table.primary_key]
    left = select(func.count()).select_from(table).where(*after_key(table, last))
    with progress_bar("copy", table, source.scalar(left)) as bar:
        for rows in iter_batches(source, table, last):
            values = [row._asdict() for row in rows]
            checkpoint[table.name] = [values[-1][name] for name in key]
            try:
                with target.begin() as connection:
                    connection.execute(insert(table), values)
                    connection.execute(
                        update(PROGRESS_TABLE).values(reached=checkpoint)
                    )
            except (DataError, IntegrityError) as error:
                first = ", ".join(str(values[0][name]) for name in key)
                raise click.ClickException(
                    f"The target refuses rows of {table.name} from {first} on: "
                    f"{error_message(error)}\nMend them in the source. {RESUME_HINT}"
                ) from None
            bar.update(len(rows))


def iter_batches(connection, table, last=None):
    """The rows of a table beyond a key, in its order, in lists."""
    key = table.primary_key.columns
    statement = select(table).order_by(*key).limit(COPY_BATCH_ROWS)
    while rows := connection.execute(statement.where(*after_key(table, last))).all():
        yield rows
        last = [getattr(rows[-1], column.name) for column in key]


def after_key(table, last):
    """The conditions that a key comes after `last`; none without one.

    A comparison of rows would read as well, but MariaDB finds no place in an index by it.
    """
    if last is None:
        return []
    ranges, equal = [], []
    for field, value in zip(table.primary_key, last):
        ranges.append(and_(*equal, field > value))
        equal.append(field == value)
    return [list(table.primary_key)[0] >= last[0], or_(*ranges)]


def compare_table(source, target, table):
    """(rows, checksum) of a table in the source, and in the target."""
    length = source.scalar(select(func.count()).select_from(table))
    with progress_bar("compare", table, 2 * length) as bar, target.connect() as copied:
        return table_checksum(source, table, bar), table_checksum(copied, table, bar)


def table_checksum(connection, table, bar):
    """How many rows there are, and what all their values come to, as 32 hex digits: in
    whatever order, on whatever database."""
    count = total = 0
    for rows in iter_batches(connection, table):
        for row in rows:
            form = orjson.dumps(
                tuple(row), default=bytes.hex, option=orjson.OPT_SORT_KEYS
            )
            total += int.from_bytes(blake2b(form, digest_size=16).digest(), "big")
        count += len(rows)
        bar.update(len(rows))
    return count, f"{total % 2**128:032x}"


def next_id(connection, table):
    """The id that the next row of a table gets: one that was never given, even where
    the rows that had the last ones are gone."""
    name = {"name": table.name}
    if connection.dialect.name == "postgresql":
        counter = connection.scalar(
            text(f"SELECT last_value + is_called::int FROM {sequence_name(table)}")
        )
    elif connection.dialect.name == "sqlite":
        statement = "SELECT seq + 1 FROM sqlite_sequence WHERE name = :name"
        counter = connection.scalar(text(statement), name)
    else:
        statement = (
            "SELECT auto_increment FROM information_schema.tables "
            "WHERE table_schema = DATABASE() AND table_name = :name"
        )
        counter = connection.scalar(text(statement), name)
    last = connection.scalar(select(func.max(table.autoincrement_column)))
    return max(counter or 1, (last or 0) + 1)


def set_next_id(connection, table, upcoming):
    """Let the next row of a table get the id `upcoming`."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.setval(sequence_name(table), upcoming, False)))
    elif connection.dialect.name == "sqlite":
        values = {"name": table.name, "seq": upcoming - 1}
        connection.execute(
            text("DELETE FROM sqlite_sequence WHERE name = :name"), values
        )
        connection.execute(
            text("INSERT INTO sqlite_sequence VALUES (:name, :seq)"), values
        )
    else:
        connection.execute(
            text(f"ALTER TABLE {table.name} AUTO_INCREMENT = {upcoming}")
        )


def sequence_name(table):
    """What PostgreSQL calls the counter of a table."""
    return f"{table.name}_{table.autoincrement_column.name}_seq"


def progress_bar(verb, table, length):
    """A bar on a terminal; elsewhere a line."""
    return click.progressbar(
        length=length, label=f"{verb:<8} {table.name:<12}", show_pos=True
    )


def error_message(error):
    """What a database has to say, without the statement and its values."""
    return str(getattr(error, "orig", None) or error).strip()
