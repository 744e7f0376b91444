"""The migrations gate: tables that the running release could not live with are refused.

While a release is deployed, and after it was taken back, the one before works on the new
tables. `flask gate`, which the new release runs, builds them in a scratch database, and
`flask works-with`, which the running one runs, looks at them there: it alone knows what it
reads and writes. Both see SQLite, so that its own types compare with its own.
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

from ..core.data.migrations import migrated, newer, wanted_heads
from ..core.data.session import sql
from .copy_database import opened, said

# Sentences of `works-with` that no longer hold for this release: it was changed to live
# with what they tell of, so that the next one may migrate.
READY_FOR = frozenset()

# The first that fits. A CHAR comes back with blanks behind it.
FAMILIES = (
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
    """Refuse migrations that the running release could not live with.

    RUNNING is its folder, with its environment in .venv. The database is only looked at.
    """
    with explained():
        at, wanted = migrated(), wanted_heads()
        if at == wanted:
            click.echo("No migration is pending.")
            return
        if newer(at):
            click.echo(
                f"The database is at {', '.join(newer(at))}, which this release does not "
                "know: a newer one has migrated it. Nothing is refused."
            )
            return
    with tempfile.TemporaryDirectory(prefix="gate-") as folder:
        file = f"{folder}/scratch.sqlite3"
        with opened(f"sqlite:///{file}"), explained():
            upgrade()
        ask(running.resolve(), file)


@contextmanager
def explained():
    """Say which migration failed, and why, without a trace."""
    try:
        yield
    except Exception as error:  # whatever somebody wrote in a migration
        why = f"{type(error).__name__}: {said(error)}"
        steps = traceback.extract_tb(error.__traceback__)
        within = [
            step for step in steps if Path(step.filename).parent.name == "versions"
        ]
        for step in within[-1:]:
            why = f"{Path(step.filename).name}, line {step.lineno}: {why}"
        raise click.ClickException(why) from None


def ask(running, file):
    """Let the release in that folder judge the tables in the file, and tell what it says.

    Raises ClickException where it refuses. One that cannot judge refuses nothing.
    """
    python = running / ".venv/bin/python"
    if not python.exists():
        click.echo(f"No release runs in {running}: there is nobody to ask.")
        return
    # It needs no setting of this machine, and ours may name some that it lacks.
    settings = {"FLASK_APP": "myapp", "FLASK_CONFIG": "testing"}
    told = subprocess.run(
        [python, "-m", "flask", "works-with", file],
        cwd=running,
        env={**os.environ, **settings, "INSTANCE_PATH": os.path.dirname(file)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    unheard = "No such command 'works-with'" in told.stderr
    if unheard and told.stderr.startswith("Usage:"):  # its application was found
        click.echo(f"The release in {running} is too old to be asked.")
        return
    click.echo(told.stdout, nl=False)
    if told.returncode and not told.stdout:
        last = told.stderr.strip().rpartition("\n")[2]
        raise click.ClickException(f"The release in {running} cannot judge: {last}")
    if told.returncode:
        raise click.ClickException(
            "The running release could not live with these migrations. Add first, and take "
            "away in a later release: docs/adr/0022-migrations-gate.md"
        )


@click.command("works-with")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
def works_with(file):
    """Tell whether this release can work with the tables in FILE, of SQLite.

    A line for each thing that it could not live with, and 1 as the exit code.
    """
    with connected("") as ours, connected(file) as theirs:
        sql.metadata.create_all(ours)
        try:
            found = [line for line in faults(ours, theirs) if line not in READY_FOR]
        except SQLAlchemyError as error:
            raise click.ClickException(said(error)) from None
    for line in found:
        click.echo(line)
    if found:
        raise SystemExit(1)
    click.echo("This release can work with these tables.")


@contextmanager
def connected(file):
    """A connection to an SQLite database; without a file, to one in memory."""
    engine = create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def faults(ours, theirs):
    """What a release whose tables are `ours` could not live with if they were `theirs`, a
    sentence each. Both are connections to SQLite."""
    before, after = Table.all(ours), Table.all(theirs)
    for name, known in before.items():
        if name not in after:
            yield f"The table {name} is gone, and this release reads it."
            continue
        new = after[name]
        for line in chain(
            of_columns(known, new), of_keys(known, new), of_checks(known, new, theirs)
        ):
            yield f"{name}{line}"
    for name, new in after.items():
        known = before.get(name, NOTHING)
        for (names, other, action), _ in minus(new.references, known.references):
            cleared = action in ("CASCADE", "SET NULL")
            told_of = name in before and not known.silent(names, new)
            if other in before and not cleared and not told_of:
                yield (
                    f"{name} keeps rows of {other} from being deleted, and this release "
                    "does not know that."
                )


class Table(NamedTuple):
    """A table as SQLite describes it."""

    columns: dict  # by name, as SQLAlchemy reflects them
    key: frozenset  # the names of its primary key's columns
    unique: dict  # (names, the rest of its definition) of what is unique, as text
    references: dict  # (names, table, on deletion) of each foreign key, as text
    checks: dict  # the words of each check, as it was written

    @classmethod
    def all(cls, connection):
        """Every table of a database, by name."""
        names = sorted(inspect(connection).get_table_names())
        return {name: cls.of(connection, name) for name in names}

    @classmethod
    def of(cls, connection, name):
        found = inspect(connection)
        columns = {column["name"]: column for column in found.get_columns(name)}
        key = frozenset(found.get_pk_constraint(name)["constrained_columns"])
        checks = {tuple(words(check)): check for check in checks_of(connection, name)}
        held = references(connection, name)
        return cls(columns, key, uniques(connection, name), held, checks)

    def silent(self, names, new):
        """Whether whoever knows this table writes to none of these columns of the new one,
        and leaves one of them NULL. A name is None where there is an expression."""
        columns = [new.columns.get(name) for name in names]
        blank = [c for c in columns if c and c["nullable"] and default(c) is None]
        return bool(blank) and None not in columns and not names & self.columns.keys()


NOTHING = Table({}, frozenset(), {}, {}, {})


def of_columns(known, new):
    for name, column in known.columns.items():
        if name not in new.columns:
            yield f".{name} is gone, and this release reads it."
            continue
        there = new.columns[name]
        if "computed" in there and "computed" not in column:
            yield f".{name} is computed, and this release writes it."
        if not there["nullable"] and column["nullable"]:
            yield f".{name} must be filled, and this release may leave it empty."
        if narrower(there["type"], column["type"]):
            was, now = column["type"], there["type"]
            yield f".{name} is {now}, and this release takes it for {was}."
        if default(there) is None and default(column) is not None:
            yield f".{name} has lost its default, and this release relies on it."
    for name, there in new.columns.items():
        filled = there["nullable"] or default(there) is not None
        if name not in known.columns and not filled:
            yield f".{name} must be filled, and this release does not know it."


def of_keys(known, new):
    if new.key != known.key:
        was, now = listed(known.key), listed(new.key)
        yield f" has the key {now}, and this release knows {was}."
        return
    for (names, _), told in minus(new.unique, known.unique):
        if not known.silent(names, new):
            yield f" must be unique by {told}, and this release does not know that."
    for (names, _), told in minus(known.unique, new.unique):
        if names <= new.columns.keys():
            yield f" is not unique by {told} any more, and this release relies on it."
    for (names, *_), told in minus(new.references, known.references):
        if not known.silent(names, new):
            yield f" is held to {told}, and this release does not know that."
    for (names, *_), told in minus(known.references, new.references):
        if names <= new.columns.keys():
            yield f" is not held to {told} any more, and this release relies on it."


def of_checks(known, new, theirs):
    for tokens, check in minus(new.checks, known.checks):
        # Of columns that we do not know, it sees the defaults.
        row = ", ".join(
            f'{default(column) or "NULL"} AS "{name}"'
            for name, column in new.columns.items()
            if name not in known.columns
        )
        broken = f"SELECT NOT {check} FROM (SELECT {row or 'NULL'})"
        if (
            known.columns.keys() & set(tokens)
            or theirs.exec_driver_sql(broken).scalar()
        ):
            yield f" must meet {check}, and this release does not know that."


def minus(some, others):
    """What is in one dictionary and not in the other, as items."""
    return [(key, value) for key, value in some.items() if key not in others]


def listed(names):
    return f"({', '.join(sorted(map(str, names)))})"


def default(column):
    """What a column holds where nothing is said, as SQL; None for NULL."""
    if "computed" in column:
        return column["computed"]["sqltext"]
    given = column["default"]
    return None if given is None or given.upper() == "NULL" else given


def narrower(there, here):
    """Whether a type does not hold all that the other one does, or is of another kind."""
    if kind(there) is not kind(here):
        return True
    return any(width < least for width, least in zip(widths(there), widths(here)))


def kind(type_):
    kinds = (family for family in FAMILIES if isinstance(type_, family))
    return next(kinds, type(type_))


def widths(type_):
    """How much a type holds, in whatever its kind counts."""
    if isinstance(type_, Integer):
        small, big = isinstance(type_, SmallInteger), isinstance(type_, BigInteger)
        return [big - small]
    if kind(type_) is Numeric:
        precision, scale = type_.precision, type_.scale or 0
        return [scale, inf if precision is None else precision - scale]
    length = getattr(type_, "length", None)
    return [inf if length is None else length]


def references(connection, table):
    """Table.references; SQLAlchemy misses what some of them do on deletion."""
    rows = connection.execute(text(f'PRAGMA foreign_key_list("{table}")')).mappings()
    found = {}
    for _, (first, *more) in groupby(rows, itemgetter("id")):
        names = frozenset(row["from"] for row in (first, *more))
        told = f"{first['table']} by {listed(names)}"
        if first["on_delete"] != "NO ACTION":
            told += f" ON DELETE {first['on_delete']}"
        found[names, first["table"], first["on_delete"]] = told
    return found


def uniques(connection, table):
    """Table.unique: of constraints and of indexes, alike; SQLAlchemy leaves out those over
    expressions."""
    found = {}
    for index in connection.execute(text(f'PRAGMA index_list("{table}")')):
        if not index.unique or index.origin == "pk":
            continue
        columns = connection.execute(text(f'PRAGMA index_info("{index.name}")'))
        names = frozenset(column.name for column in columns)
        rest = "".join(BEFORE_COLUMNS.split(definition(connection, index.name), 1)[1:])
        tokens = tuple(words(rest))
        if set(tokens) <= {*names, "(", ")", ","}:
            found[names, ()] = listed(names)
        else:
            found[names, tokens] = rest
    return found


def checks_of(connection, table):
    """Each CHECK of a table, with its brackets, as it was written."""
    written = definition(connection, table)
    tokens = list(TOKEN.finditer(written))
    for place, token in enumerate(tokens, 1):
        if token[0].upper() == "CHECK":
            depth = 0
            for other in tokens[place:]:
                depth += (other[0] == "(") - (other[0] == ")")
                if not depth:
                    break
            yield written[token.end() : other.end()].strip()


def definition(connection, name):
    """The SQL that a table or an index was made with, in one line and without comments;
    "" where a constraint made it."""
    statement = text("SELECT sql FROM sqlite_master WHERE name = :name")
    written = connection.scalar(statement, {"name": name}) or ""
    bare = TOKEN.sub(lambda word: " " if COMMENT.match(word[0]) else word[0], written)
    return " ".join(bare.split())


def words(written):
    """What SQL consists of, without regard to case and quotes."""
    return [word.strip('"`').lower() for word in TOKEN.findall(written)]
