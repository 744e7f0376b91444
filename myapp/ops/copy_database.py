"""`flask move-db`: copy everything to another database of any supported kind.

The source is locked against writes. Rows are copied in batches, in the order of their keys.
Each batch is committed together with the progress, in a table of the target, so that an
interrupted copy can be resumed. The table is dropped after the comparison.
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

COPY_BATCH_ROWS = 1000  # in memory, and in a transaction
DRIVERS = {"sqlite", "postgresql+psycopg", "mysql+pymysql", "mariadb+pymysql"}
INVALID_TARGET = "--to is not a valid database URL."
RESUME_HINT = "Run the same command again to resume."
RESTART_HINT = "Create an empty target, and start again."

# The location of the source, and the last copied key of each table.
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
    help="The URL of the other database, which must exist and be empty. The environment "
    "variable MOVE_DB_TO hides its password from the list of processes.",
)
@with_appcontext
def move_db(uri):
    """Copy everything to another database, and compare the two.

    Stop the service first. If interrupted, run the same command again to resume.
    """
    uri = parse_target_url(uri)
    try:
        if unknown_revisions(current_revisions()):
            raise click.ClickException("A newer release has migrated the source.")
        if check_migrations() != "ok":
            raise click.ClickException(
                f"The migrations of the source: {check_migrations()}."
            )
        with unit_of_work(writes=False):
            if inspect(sql.session.connection()).has_table(PROGRESS_TABLE.name):
                raise click.ClickException("The source is itself an unfinished copy.")
        engine, origin = sql.engine, database_location(sql.engine)
        with open_target(uri) as target:
            destination = database_location(target)
            if destination == "sqlite:///":
                raise click.ClickException("--to contains no path of a file.")
            if destination == origin:
                raise click.ClickException("The target is the source.")
            with lock_source(engine) as source:
                copy_all(source, target, origin)
    except KeyboardInterrupt:
        raise click.ClickException(f"Interrupted. {RESUME_HINT}") from None
    except SQLAlchemyError as error:
        raise click.ClickException(f"{error_message(error)}\n{RESUME_HINT}") from None
    click.echo("Done. Set DATABASE_URL to the target, and start the service.")


def parse_target_url(uri):
    """Return `uri` with the name of its driver.

    Raises ClickException, whose message contains no password.
    """
    try:
        uri = database_uri(uri)
        url = make_url(uri)
    except (ArgumentError, ValueError):
        raise click.ClickException(INVALID_TARGET) from None
    location = f"{url.host}{url.database if url.get_backend_name() != 'sqlite' else ''}"
    if "@" in location:  # a message with this host would show the end of a password
        raise click.ClickException(
            "--to contains two @. In a password, write @ as %40 and / as %2F."
        )
    if url.drivername not in DRIVERS:
        raise click.ClickException(
            "--to must begin with sqlite:///, postgresql://, mysql:// or mariadb://."
        )
    if not url.database:
        raise click.ClickException("--to contains no name of a database.")
    return uri


@contextmanager
def lock_source(engine):
    """Yield a connection to a database that is locked against writes."""
    names = ", ".join(table.name for table in sql.metadata.sorted_tables)
    with without_timeouts(engine), engine.connect() as connection:
        connection.detach()  # MariaDB keeps the locks until the connection is closed
        try:
            if engine.dialect.name == "postgresql":
                connection.execute(text(f"LOCK TABLE {names} IN SHARE MODE"))
            elif engine.dialect.name == "sqlite":
                connection.begin()  # as the only writer
            else:
                names = names.replace(",", " READ,")
                connection.execute(text(f"LOCK TABLES {names} READ"))
        except DBAPIError as error:
            raise click.ClickException(
                "The source cannot be locked. Stop the service first. "
                f"{error_message(error)}"
            ) from None
        yield connection


@contextmanager
def open_target(uri):
    """Yield the engine of another database, configured as that of the service.

    Raises ClickException if it cannot connect; the message contains no password.
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
        raise click.ClickException(
            f"The target does not answer: {error_message(error)}"
        ) from None
    except Exception:  # an error of the driver, which may contain the password
        raise click.ClickException(INVALID_TARGET) from None
    with app.app_context():
        with without_timeouts(sql.engine):
            yield sql.engine


def copy_all(source, target, origin):
    """Copy all tables from a connection to an engine, and compare them.

    `origin`: the location of the source. Raises ClickException.
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
            f"These tables differ, the source is above the target: {', '.join(unlike)}. "
            f"One database has been written to meanwhile. {RESTART_HINT}"
        )
    PROGRESS_TABLE.drop(target)


def prepare_target(target, origin):
    """Create the tables of the target, and return the last copied key of each.

    Raises ClickException if the target holds anything but a partial copy of `origin`.
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
            f"The tables of the target cannot be created: {error_message(error)}\n"
            f"{RESTART_HINT}"
        ) from None
    return progress_row.reached if progress_row else {}


def database_location(engine):
    """Return the location of a database, without the account and the driver."""
    url = engine.url
    kind = url.get_backend_name().replace("mysql", "mariadb")
    if kind == "sqlite":  # ask for the file, since its name can be written in many ways
        with unit_of_work(writes=False), engine.connect() as connection:
            main = connection.execute(text("PRAGMA database_list")).first()
        return f"sqlite:///{main.file}"
    host = url.host or url.query.get("host") or url.query.get("unix_socket")
    port = url.port or url.query.get("port")
    return f"{kind}://{host or ''}:{port or ''}/{url.database}"


def copy_table(source, target, table, checkpoint):
    """Copy the rows after the last key in `checkpoint`, and update it."""
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
                    f"{error_message(error)}\nCorrect them in the source. {RESUME_HINT}"
                ) from None
            bar.update(len(rows))


def iter_batches(connection, table, last=None):
    """Yield lists of the rows of a table after a key, in the order of the key."""
    key = table.primary_key.columns
    statement = select(table).order_by(*key).limit(COPY_BATCH_ROWS)
    while rows := connection.execute(statement.where(*after_key(table, last))).all():
        yield rows
        last = [getattr(rows[-1], column.name) for column in key]


def after_key(table, last):
    """Return the conditions that a key comes after `last`, which may be None.

    A row comparison would be shorter, but MariaDB does not use an index for it.
    """
    if last is None:
        return []
    ranges, equal = [], []
    for field, value in zip(table.primary_key, last):
        ranges.append(and_(*equal, field > value))
        equal.append(field == value)
    return [list(table.primary_key)[0] >= last[0], or_(*ranges)]


def compare_table(source, target, table):
    """Return (rows, checksum) of a table in the source, and in the target."""
    length = source.scalar(select(func.count()).select_from(table))
    with progress_bar("compare", table, 2 * length) as bar, target.connect() as copied:
        return table_checksum(source, table, bar), table_checksum(copied, table, bar)


def table_checksum(connection, table, bar):
    """Return the number of rows, and a checksum of all values as 32 hex digits.

    The checksum depends neither on the order of the rows nor on the kind of database.
    """
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
    """Return the id of the next row of a table, which no deleted row has had either."""
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
    """Set the id of the next row of a table to `upcoming`."""
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
    """Return the name of the PostgreSQL sequence of the ids of a table."""
    return f"{table.name}_{table.autoincrement_column.name}_seq"


def progress_bar(verb, table, length):
    """Return a progress bar, which is a line if the output is no terminal."""
    return click.progressbar(
        length=length, label=f"{verb:<8} {table.name:<12}", show_pos=True
    )


def error_message(error):
    """Return the message of a database error, without the statement and its values."""
    return str(getattr(error, "orig", None) or error).strip()
