"""What a migration does to our tables beyond Alembic's own ways, and how one is written."""

from contextlib import contextmanager, suppress
from graphlib import CycleError, TopologicalSorter
from itertools import chain

import click
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.ddl.mysql import MariaDBImpl, MySQLImpl
from alembic.ddl.postgresql import PostgresqlImpl
from alembic.ddl.sqlite import SQLiteImpl
from alembic.migration import MigrationContext
from alembic.operations import ops
from alembic.util import CommandError
from sqlalchemy.sql.elements import False_, True_

from ..schema.parsing import NEVER
from .models.columns import KEY, MOMENT, EndlessMoment
from .session import sql

# As `SqlModel` has it, for a table that is told of by the database alone.
TABLE = {
    "sqlite_autoincrement": True,
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
}
MEND = "make it optional(…), or write a server_default into the migration."
# In which order the changes of a table go through on every database: MariaDB keeps an
# index that a foreign key needs, and has none of a long text.
ORDER = (
    *(ops.DropConstraintOp, ops.DropIndexOp, ops.AddColumnOp, ops.AlterColumnOp),
    *(ops.DropColumnOp, ops.CreateIndexOp),
)


# What a migration does


class Asking:
    """Where rows are there, nobody knows what they would have in a new column that must be
    filled. MariaDB would make something up; the others say so in words of their own."""

    def add_column(self, table_name, column, **options):
        self.must_be_known(table_name, column)
        super().add_column(table_name, column, **options)

    def must_be_known(self, table, column):
        """Raises CommandError."""
        if column.nullable or column.server_default is not None or self.as_sql:
            return
        one = sa.select(sa.literal(1)).select_from(sa.table(table)).limit(1)
        if self.connection.execute(one).first():
            raise CommandError(
                f"{table}.{column.name} must be filled, and {table} has rows: {MEND}"
            )


class OnPostgresql(Asking, PostgresqlImpl):
    __dialect__ = "postgresql"


class OnMysql(Asking, MySQLImpl):
    __dialect__ = "mysql"


class OnMariadb(Asking, MariaDBImpl):
    __dialect__ = "mariadb"


class OnSqlite(Asking, SQLiteImpl):
    """To change a column of SQLite's, Alembic makes the table anew as it reads it there,
    and that does not tell that ids never come back."""

    __dialect__ = "sqlite"

    def prep_table_for_batch(self, batch_impl, table):
        new = batch_impl.new_table
        for column in new.columns:
            if "expr" not in batch_impl.column_transfers[column.name]:
                self.must_be_known(table.name, column)
        names = {"old": table.name, "new": new.name}
        made = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :old"
        if "AUTOINCREMENT" not in self.connection.scalar(sa.text(made), names):
            return
        new.dialect_options["sqlite"]["autoincrement"] = True
        # The highest id may be of a row that is gone. This goes by the table's name, and
        # so comes along when the new one gets that of the old one.
        last = "SELECT :new, seq FROM sqlite_sequence WHERE name = :old"
        self.connection.execute(
            sa.text(f"INSERT INTO sqlite_sequence (name, seq) {last}"), names
        )


@contextmanager
def at_rest(connection):
    """Foreign keys do nothing in this block, on SQLite, over a connection that has just
    been made: else the table that is made anew would take along what refers to it."""
    if connection.dialect.name != "sqlite":
        yield
        return
    # Not SQLAlchemy's, which would say BEGIN first; within a transaction it has no effect.
    driver = connection.connection.dbapi_connection
    driver.execute("PRAGMA foreign_keys = OFF").close()
    try:
        yield
    finally:
        connection.rollback()  # what is left of a migration that failed
        driver.execute("PRAGMA foreign_keys = ON").close()


def nothing_dangles(ctx, **_):
    """Look, before a migration is committed, whether what rows refer to is there; only
    SQLite has not done so. Raises CommandError."""
    if ctx.dialect.name != "sqlite":
        return
    found = ctx.connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if found:
        pairs = sorted({f"{table} to {other}" for table, _, other, _ in found})
        raise CommandError(
            f"{len(found)} rows would refer to what is not there ({', '.join(pairs)}). On "
            "SQLite a migration deletes what refers to a row before that row, by itself."
        )


# What `flask db migrate` writes


def unlike_the_models(connection):
    """What Alembic would still have to change, as its own tuples."""
    options = {"compare_type": True, "compare_server_default": named_default}
    context = MigrationContext.configure(connection, opts=options)
    return compare_metadata(context, sql.metadata)


def named_default(_context, _inspected, _column, _found, ours, _rendered):
    """Whether a default differs. One that no model names is for the release that does not
    know the column yet: we write every column, and it may stay."""
    return False if ours is None else None


def render_item(kind, item, autogen_context):
    """A type or a default as a migration can write it: for every database, and without a
    name of ours, which the next release may change."""
    if kind == "type" and (isinstance(item, EndlessMoment) or item is MOMENT):
        autogen_context.imports.add("from sqlalchemy.dialects import mysql")
        variant = 'mysql.DATETIME(fsp=6), "mysql", "mariadb"'
        return f"sa.DateTime().with_variant({variant})"
    if kind == "server_default" and isinstance(item.arg, (True_, False_)):
        return f"sa.{item.arg}()"
    return False


def put_right(_context, _revision, directives):
    """Let a migration be written that runs on every database, with rows in its tables;
    none where it would change nothing."""
    (script,) = directives
    if script.upgrade_ops.is_empty():
        directives[:] = []
        return
    for side in (script.upgrade_ops, script.downgrade_ops):
        back = side is script.downgrade_ops
        gone = {op.table_name for op in side.ops if isinstance(op, ops.DropTableOp)}
        for op in side.ops:
            if isinstance(op, ops.ModifyTableOps):
                op.ops = [step for step in ordered(op.ops) if not goes(step, gone)]
                new = [step for step in op.ops if isinstance(step, ops.AddColumnOp)]
                keys = [s for s in op.ops if isinstance(s, ops.CreateForeignKeyOp)]
                if back:
                    speak([step.column for step in new], [k.local_cols for k in keys])
                for step in new:
                    fill(step, asked=not back)
                for step in op.ops:
                    if isinstance(step, ops.AlterColumnOp):
                        by_characters(step)
            elif isinstance(op, ops.CreateTableOp) and back:
                columns = [c for c in op.columns if isinstance(c, sa.Column)]
                keys = [c for c in op.columns if isinstance(c, sa.ForeignKeyConstraint)]
                speak(columns, [key.column_keys for key in keys])
                if "id" in {column.name for column in columns}:
                    op.kw = TABLE | op.kw
        side.ops = [op for op in side.ops if getattr(op, "ops", True)]
        if gone or back:
            side.ops = in_order(side.ops)


def in_order(steps):
    """Return the steps so that no foreign key refers to a table that does not exist:
    dropped tables come last, re-created ones first, both in the order of their keys."""
    created = [step for step in steps if isinstance(step, ops.CreateTableOp)]
    dropped = [step for step in steps if isinstance(step, ops.DropTableOp)]
    others = [step for step in steps if step not in created + dropped]
    return [*by_references(created), *others, *reversed(by_references(dropped))]


def by_references(steps):
    """Return steps that each create or drop a table, a table after those it refers to."""
    steps = {
        step.table_name: step for step in sorted(steps, key=lambda s: s.table_name)
    }
    sorter = TopologicalSorter()
    for name, step in steps.items():
        keys = step.to_table().foreign_keys
        others = {key.target_fullname.partition(".")[0] for key in keys} - {name}
        sorter.add(name, *sorted(others & steps.keys()))
    with suppress(CycleError):  # no order fits tables that refer to each other
        return [steps[name] for name in sorter.static_order()]
    return list(steps.values())


def ordered(steps):
    def rank(step):
        if isinstance(step, ops.DropConstraintOp):
            return -1 if step.constraint_type == "foreignkey" else 0
        kinds = [n for n, kind in enumerate(ORDER) if isinstance(step, kind)]
        return kinds[0] if kinds else len(ORDER)

    return sorted(steps, key=rank)


def goes(step, gone):
    """Whether an index need not be dropped, since its table is."""
    return isinstance(step, ops.DropIndexOp) and step.table_name in gone


def speak(columns, keys):
    """Say of columns that the database has told of, in words of its own, what every
    database knows. `keys`: the names of those that refer, in lists."""
    names = {"id", *chain(*keys)}
    for column in columns:
        kind = column.type
        if getattr(kind, "display_width", None) == 1:  # how MariaDB keeps a Boolean
            column.type = sa.Boolean()
            continue
        with suppress(NotImplementedError):
            kind = kind.as_generic()
        if isinstance(kind, sa.Integer) and column.name in names:
            kind = KEY
        elif isinstance(kind, sa.DateTime):
            kind = MOMENT
        elif isinstance(kind, sa.Text):
            kind = sa.Text()
        elif isinstance(kind, sa.String) and kind.length:
            kind = text(kind.length)
        column.type = kind


def by_characters(step):
    """Where one type of a column is a text that is compared by its characters, so is the
    other one, which the database has told in words of its own."""
    for ours, theirs in (
        (step.modify_type, "existing_type"),
        (step.existing_type, "modify_type"),
    ):
        other = getattr(step, theirs)
        if getattr(ours, "_variant_mapping", None) and isinstance(other, sa.String):
            if isinstance(ours, sa.String) and other.length:
                setattr(step, theirs, text(other.length))


def text(length):
    """As `column_for` has it."""
    collated = sa.String(length, collation="C")
    return sa.String(length).with_variant(collated, "postgresql")


def fill(step, asked):
    """Give a new column that must be filled the value that rows have who were there
    before it. Where nobody knows one, say so, if `asked`."""
    column = step.column
    if column.nullable or column.server_default is not None:
        return
    value = known(step.table_name, column)
    if value is not None:
        step.column = sa.Column(
            column.name, column.type, nullable=False, server_default=written(value)
        )
    elif asked:
        click.echo(
            f"{step.table_name}.{column.name} must be filled, and rows have nothing there: "
            f"{MEND}",
            err=True,
        )


def known(table, column):
    """What a column holds where nothing is said, or None."""
    if isinstance(column.type, EndlessMoment):
        return NEVER
    if column.default is not None and column.default.is_scalar:
        return column.default.arg
    for mapper in sql.Model.registry.mappers:
        if mapper.local_table.name == table:
            schema = getattr(mapper.class_, "write_schema", {"properties": {}})
            return schema["properties"].get(column.name, {}).get("default")


def written(value):
    """A value as a default that every database takes."""
    if isinstance(value, bool):
        return sa.true() if value else sa.false()
    if isinstance(value, (int, float)):
        return sa.text(str(value))
    return str(value)
