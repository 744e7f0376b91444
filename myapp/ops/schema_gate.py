"""The migrations gate: refuse tables that the running release cannot work with.

During a deployment, and after a rollback, the former release works on the new tables.
`flask gate` of the new release creates them in a scratch SQLite database, and `flask
works-with` of the running release, which knows what it reads and writes, checks them.
"""

import os
import re
import subprocess
import tempfile
import traceback
from contextlib import contextmanager
from itertools import chain, groupby
from math import inf
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import click
from flask.cli import with_appcontext
from flask_migrate import upgrade
from sqlalchemy import (
    CHAR,
    JSON,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    Time,
    create_engine,
    inspect,
    text,
)
from sqlalchemy.exc import SQLAlchemyError

from ..core.data.migrations import current_revisions, head_revisions, unknown_revisions
from ..core.data.session import sql
from .databases import error_message, scratch_database

# Sentences of `works-with` that do not apply: this release was changed to work with such
# tables, so that the next one can migrate.
ACCEPTED_BREAKS = frozenset()

# The first match counts. A CHAR is padded with blanks.
TYPE_FAMILIES = (
    *(Boolean, Integer, Float, Numeric, DateTime, Date, Time, JSON, LargeBinary),
    *(CHAR, String),
)
BEFORE_COLUMNS = re.compile(r"\sON\s[^(]+", re.IGNORECASE)  # in CREATE INDEX
COMMENT = re.compile(r"--.*|/\*[\s\S]*?\*/")
TOKEN = re.compile(COMMENT.pattern + r"""|'(?:[^']|'')*'|"[^"]*"|`[^`]*`|\w+|\S""")


@click.command()
@click.argument("running", type=click.Path(path_type=Path))
@with_appcontext
def gate(running):
    """Refuse migrations that the running release cannot work with.

    RUNNING is the folder of that release, with .venv. The database is only read.
    """
    with click_migration_errors():
        current, heads = current_revisions(), head_revisions()
        if current == heads:
            click.echo("No migration is pending.")
            return
        if unknown_revisions(current):
            click.echo(
                f"The database is at {', '.join(unknown_revisions(current))}, which "
                "this release does not "
                "know: a newer release has migrated it. Nothing is refused."
            )
            return
    with tempfile.TemporaryDirectory(prefix="gate-") as folder:
        file = f"{folder}/scratch.sqlite3"
        with scratch_database(file), click_migration_errors():
            upgrade()
        ask_release(running.resolve(), file)


@contextmanager
def click_migration_errors():
    """Report which migration failed, and why, without a traceback."""
    try:
        yield
    except Exception as error:  # a migration can raise anything
        why = f"{type(error).__name__}: {error_message(error)}"
        steps = traceback.extract_tb(error.__traceback__)
        within = [
            step for step in steps if Path(step.filename).parent.name == "versions"
        ]
        for step in within[-1:]:
            why = f"{Path(step.filename).name}, line {step.lineno}: {why}"
        raise click.ClickException(why) from None


def ask_release(running, file):
    """Let the release in the folder `running` check the tables in a file.

    Raises ClickException if it refuses them. A release without the command refuses nothing.
    """
    python = running / ".venv/bin/python"
    if not python.exists():
        click.echo(f"No release runs in {running}, so nothing is checked.")
        return
    # It needs no settings of this machine, which may name some that it does not have.
    settings = {"FLASK_APP": "myapp", "FLASK_CONFIG": "testing"}
    result = subprocess.run(
        [python, "-m", "flask", "works-with", file],
        cwd=running,
        env={**os.environ, **settings, "INSTANCE_PATH": os.path.dirname(file)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    is_unknown_command = "No such command 'works-with'" in result.stderr
    # its application was found
    if is_unknown_command and result.stderr.startswith("Usage:"):
        click.echo(f"The release in {running} is too old for this check.")
        return
    click.echo(result.stdout, nl=False)
    if result.returncode and not result.stdout:
        last = result.stderr.strip().rpartition("\n")[2]
        raise click.ClickException(
            f"The release in {running} cannot check the tables: {last}"
        )
    if result.returncode:
        raise click.ClickException(
            "The running release cannot work with these migrations. Add first, and remove "
            "in a later release (see docs/adr/0022-migrations-gate.md)."
        )


@click.command("works-with")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
def works_with(file):
    """Check whether this release can work with the tables in the SQLite FILE.

    Print a line for each incompatibility. The exit code is 1 if there is one.
    """
    with connect_sqlite("") as ours, connect_sqlite(file) as theirs:
        sql.metadata.create_all(ours)
        try:
            breaks = [
                line
                for line in find_breaks(ours, theirs)
                if line not in ACCEPTED_BREAKS
            ]
        except SQLAlchemyError as error:
            raise click.ClickException(error_message(error)) from None
    for line in breaks:
        click.echo(line)
    if breaks:
        raise SystemExit(1)
    click.echo("This release can work with these tables.")


@contextmanager
def connect_sqlite(file):
    """Yield a connection to an SQLite database; without a file, to one in memory."""
    engine = create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def find_breaks(ours, theirs):
    """Yield a sentence for each reason why this release cannot work with other tables.

    `ours`, `theirs`: connections to SQLite, with the tables of this release and the others.
    """
    before, after = Table.read_all(ours), Table.read_all(theirs)
    for name, known in before.items():
        if name not in after:
            yield f"The table {name} is gone, and this release reads it."
            continue
        new = after[name]
        for line in chain(
            column_breaks(known, new),
            key_breaks(known, new),
            check_breaks(known, new, theirs),
        ):
            yield f"{name}{line}"
    for name, new in after.items():
        known = before.get(name, EMPTY_TABLE)
        for (names, other, action), _ in items_not_in(new.references, known.references):
            cleared = action in ("CASCADE", "SET NULL")
            is_announced = name in before and not known.never_written(names, new)
            if other in before and not cleared and not is_announced:
                yield (
                    f"{name} keeps rows of {other} from being deleted, and this release "
                    "does not know that."
                )


class Table(NamedTuple):
    """A table as SQLite describes it."""

    columns: dict  # by name, as SQLAlchemy reflects them
    key: frozenset  # the names of the columns of the primary key
    unique: dict  # text by (names, rest of the definition) of each constraint
    references: dict  # text by (names, table, action on deletion) of each foreign key
    checks: dict  # text by the tokens of each check

    @classmethod
    def read_all(cls, connection):
        """Return the tables of a database by name."""
        names = sorted(inspect(connection).get_table_names())
        return {name: cls.read(connection, name) for name in names}

    @classmethod
    def read(cls, connection, name):
        """Return a table of a database."""
        inspector = inspect(connection)
        columns = {column["name"]: column for column in inspector.get_columns(name)}
        key = frozenset(inspector.get_pk_constraint(name)["constrained_columns"])
        checks = {
            tuple(sql_tokens(check)): check for check in read_checks(connection, name)
        }
        references = read_references(connection, name)
        return cls(columns, key, read_uniques(connection, name), references, checks)

    def never_written(self, names, new):
        """Return whether a release with this table writes none of these new columns, and
        leaves one of them NULL. An expression has the name None."""
        columns = [new.columns.get(name) for name in names]
        blank = [c for c in columns if c and c["nullable"] and default_sql(c) is None]
        return bool(blank) and None not in columns and not names & self.columns.keys()


EMPTY_TABLE = Table({}, frozenset(), {}, {}, {})


def column_breaks(known, new):
    for name, column in known.columns.items():
        if name not in new.columns:
            yield f".{name} is gone, and this release reads it."
            continue
        there = new.columns[name]
        if "computed" in there and "computed" not in column:
            yield f".{name} is computed, and this release writes it."
        if not there["nullable"] and column["nullable"]:
            yield f".{name} must be filled, and this release may leave it empty."
        if is_narrower(there["type"], column["type"]):
            was, now = column["type"], there["type"]
            yield f".{name} is {now}, and this release takes it for {was}."
        if default_sql(there) is None and default_sql(column) is not None:
            yield f".{name} has lost its default, and this release relies on it."
    for name, there in new.columns.items():
        filled = there["nullable"] or default_sql(there) is not None
        if name not in known.columns and not filled:
            yield f".{name} must be filled, and this release does not know it."


def key_breaks(known, new):
    if new.key != known.key:
        was, now = name_list(known.key), name_list(new.key)
        yield f" has the key {now}, and this release knows {was}."
        return
    for (names, _), description in items_not_in(new.unique, known.unique):
        if not known.never_written(names, new):
            yield f" must be unique by {description}, and this release does not know that."
    for (names, _), description in items_not_in(known.unique, new.unique):
        if names <= new.columns.keys():
            yield (
                f" is not unique by {description} any more, and this release relies on "
                "it."
            )
    for (names, *_), description in items_not_in(new.references, known.references):
        if not known.never_written(names, new):
            yield f" is held to {description}, and this release does not know that."
    for (names, *_), description in items_not_in(known.references, new.references):
        if names <= new.columns.keys():
            yield f" is not held to {description} any more, and this release relies on it."


def check_breaks(known, new, theirs):
    for tokens, check in items_not_in(new.checks, known.checks):
        # Unknown columns have their defaults.
        row = ", ".join(
            f'{default_sql(column) or "NULL"} AS "{name}"'
            for name, column in new.columns.items()
            if name not in known.columns
        )
        broken = f"SELECT NOT {check} FROM (SELECT {row or 'NULL'})"
        if (
            known.columns.keys() & set(tokens)
            or theirs.exec_driver_sql(broken).scalar()
        ):
            yield f" must meet {check}, and this release does not know that."


def items_not_in(some, others):
    """Return the items of one dictionary whose keys are not in the other."""
    return [(key, value) for key, value in some.items() if key not in others]


def name_list(names):
    return f"({', '.join(sorted(map(str, names)))})"


def default_sql(column):
    """Return the default of a column as SQL; None for NULL."""
    if "computed" in column:
        return column["computed"]["sqltext"]
    written = column["default"]
    return None if written is None or written.upper() == "NULL" else written


def is_narrower(there, here):
    """Return whether a type holds fewer values than the other, or is of another family."""
    if type_family(there) is not type_family(here):
        return True
    return any(
        width < least for width, least in zip(type_widths(there), type_widths(here))
    )


def type_family(type_):
    """Return the first of TYPE_FAMILIES that a type belongs to, or its class."""
    kinds = (family for family in TYPE_FAMILIES if isinstance(type_, family))
    return next(kinds, type(type_))


def type_widths(type_):
    """Return the sizes of a type, in the unit of its family."""
    if isinstance(type_, Integer):
        small, big = isinstance(type_, SmallInteger), isinstance(type_, BigInteger)
        return [big - small]
    if type_family(type_) is Numeric:
        precision, scale = type_.precision, type_.scale or 0
        return [scale, inf if precision is None else precision - scale]
    length = getattr(type_, "length", None)
    return [inf if length is None else length]


def read_references(connection, table):
    """Return Table.references; SQLAlchemy does not reflect all actions on deletion."""
    rows = connection.execute(text(f'PRAGMA foreign_key_list("{table}")')).mappings()
    result = {}
    for _, (first, *more) in groupby(rows, itemgetter("id")):
        names = frozenset(row["from"] for row in (first, *more))
        description = f"{first['table']} by {name_list(names)}"
        if first["on_delete"] != "NO ACTION":
            description += f" ON DELETE {first['on_delete']}"
        result[names, first["table"], first["on_delete"]] = description
    return result


def read_uniques(connection, table):
    """Return Table.unique; SQLAlchemy does not reflect indexes with expressions."""
    result = {}
    for index in connection.execute(text(f'PRAGMA index_list("{table}")')):
        if not index.unique or index.origin == "pk":
            continue
        columns = connection.execute(text(f'PRAGMA index_info("{index.name}")'))
        names = frozenset(column.name for column in columns)
        rest = "".join(
            BEFORE_COLUMNS.split(definition_sql(connection, index.name), 1)[1:]
        )
        tokens = tuple(sql_tokens(rest))
        if set(tokens) <= {*names, "(", ")", ","}:
            result[names, ()] = name_list(names)
        else:
            result[names, tokens] = rest
    return result


def read_checks(connection, table):
    """Yield the text of each CHECK of a table, with its parentheses."""
    written = definition_sql(connection, table)
    tokens = list(TOKEN.finditer(written))
    for place, token in enumerate(tokens, 1):
        if token[0].upper() == "CHECK":
            depth = 0
            for other in tokens[place:]:
                depth += (other[0] == "(") - (other[0] == ")")
                if not depth:
                    break
            yield written[token.end() : other.end()].strip()


def definition_sql(connection, name):
    """Return the SQL of a table or an index on one line; "" for that of a constraint."""
    statement = text("SELECT sql FROM sqlite_master WHERE name = :name")
    written = connection.scalar(statement, {"name": name}) or ""
    bare = TOKEN.sub(lambda word: " " if COMMENT.match(word[0]) else word[0], written)
    return " ".join(bare.split())


def sql_tokens(written):
    """Return the tokens of SQL, in lower case and without quotes."""
    return [word.strip('"`').lower() for word in TOKEN.findall(written)]
