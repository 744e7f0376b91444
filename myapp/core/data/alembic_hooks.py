"""Hooks into Alembic: what a migration does on each database, and how it is written."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from typing import TYPE_CHECKING, Any

import click
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.autogenerate.api import AutogenContext
from alembic.ddl.impl import DefaultImpl
from alembic.ddl.mysql import MariaDBImpl, MySQLImpl
from alembic.ddl.postgresql import PostgresqlImpl
from alembic.ddl.sqlite import SQLiteImpl
from alembic.migration import MigrationContext
from alembic.operations import ops
from alembic.util import CommandError
from sqlalchemy.sql.elements import False_, True_

from ..schema.parsing import MAX_DATETIME
from .models.columns import BIGINT_ID, TIMESTAMP, NullsLastTimestamp
from .session import sql

# The options of `SqlModel`, for a table whose model is gone.
TABLE_OPTIONS = {
    "sqlite_autoincrement": True,
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
}
SERVER_DEFAULT_HINT = (
    "make it optional(…), or write a server_default into the migration."
)
# The order in which the changes of a table succeed on every database: MariaDB keeps an
# index that a foreign key needs, and cannot index a long text.
OPERATION_ORDER = (
    ops.DropConstraintOp,
    ops.DropIndexOp,
    ops.AddColumnOp,
    ops.AlterColumnOp,
    ops.DropColumnOp,
    ops.CreateIndexOp,
)

if TYPE_CHECKING:
    Impl = DefaultImpl
else:
    Impl = object


# What a migration does


class RequiresDefault(Impl):
    """A mixin that refuses a new required column without a default in a table with rows.

    MariaDB would invent values; the other databases report errors of their own.
    """

    def add_column(
        self, table_name: str, column: sa.Column[Any], **options: Any
    ) -> None:
        self.require_default(table_name, column)
        super().add_column(table_name, column, **options)

    def require_default(self, table: str, column: sa.Column[Any]) -> None:
        """Raise CommandError if the rows of the table would have no value for a column."""
        if column.nullable or column.server_default is not None or self.as_sql:
            return
        row = sa.select(sa.literal(1)).select_from(sa.table(table)).limit(1)
        assert self.connection is not None  # only with `as_sql` there is none
        if self.connection.execute(row).first():
            raise CommandError(
                f"{table}.{column.name} is required, but {table} has rows: "
                f"{SERVER_DEFAULT_HINT}"
            )


class StrictPostgresqlImpl(RequiresDefault, PostgresqlImpl):
    __dialect__ = "postgresql"


class StrictMySQLImpl(RequiresDefault, MySQLImpl):
    __dialect__ = "mysql"


class StrictMariaDBImpl(RequiresDefault, MariaDBImpl):
    __dialect__ = "mariadb"


class StrictSQLiteImpl(RequiresDefault, SQLiteImpl):
    """Keeps AUTOINCREMENT: to change a column, Alembic copies the table as it reads it from
    the database, which does not report AUTOINCREMENT."""

    __dialect__ = "sqlite"

    def prep_table_for_batch(self, batch_impl: Any, table: sa.Table) -> None:
        assert self.connection is not None  # a batch reads the table
        new = batch_impl.new_table
        for column in new.columns:
            if "expr" not in batch_impl.column_transfers[column.name]:
                self.require_default(table.name, column)
        names = {"old": table.name, "new": new.name}
        ddl = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :old"
        if "AUTOINCREMENT" not in self.connection.scalar(sa.text(ddl), names):
            return
        new.dialect_options["sqlite"]["autoincrement"] = True
        # The highest id may be that of a deleted row. It is stored under the table's name,
        # and SQLite renames it along with the new table.
        last = "SELECT :new, seq FROM sqlite_sequence WHERE name = :old"
        self.connection.execute(
            sa.text(f"INSERT INTO sqlite_sequence (name, seq) {last}"), names
        )


@contextmanager
def foreign_keys_disabled(connection: sa.Connection) -> Iterator[None]:
    """Disable foreign keys on a new connection to SQLite in this block: dropping the old
    copy of a table would delete the rows that refer to it."""
    if connection.dialect.name != "sqlite":
        yield
        return
    # SQLAlchemy would send BEGIN first, and the pragma has no effect in a transaction.
    driver: Any = connection.connection.dbapi_connection
    driver.execute("PRAGMA foreign_keys = OFF").close()
    try:
        yield
    finally:
        connection.rollback()  # the remains of a failed migration
        driver.execute("PRAGMA foreign_keys = ON").close()


def check_foreign_keys(ctx: MigrationContext, **_: Any) -> None:
    """Check all foreign keys on SQLite, before a migration is committed.

    The other databases have done so. Raises CommandError.
    """
    if ctx.dialect.name != "sqlite":
        return
    assert ctx.connection is not None
    rows = ctx.connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if rows:
        pairs = sorted({f"{row[0]} to {row[2]}" for row in rows})
        raise CommandError(
            f"{len(rows)} rows would refer to missing rows ({', '.join(pairs)}). On SQLite "
            "a migration must itself delete the rows that refer to a row before that row."
        )


# What `flask db migrate` writes


def differences_from_models(connection: sa.Connection) -> Any:
    """Return the differences between the database and the models, as Alembic's tuples."""
    options = {"compare_type": True, "compare_server_default": compare_server_default}
    context = MigrationContext.configure(connection, opts=options)
    return compare_metadata(context, sql.metadata)


def compare_server_default(
    _context: Any, _inspected: Any, _column: Any, _default: Any, ours: Any, _text: Any
) -> bool | None:
    """Return False to keep a default that no model names; None to compare it.

    Such a default is for older releases, which do not know the column. This release writes
    every column, so the default may stay.
    """
    return False if ours is None else None


def render_item(kind: str, item: Any, autogen_context: AutogenContext) -> str | bool:
    """Return the code of a type or a default; False where Alembic renders it.

    The code fits every database, and does not import our names, which may change.
    """
    if kind == "type" and (isinstance(item, NullsLastTimestamp) or item is TIMESTAMP):
        autogen_context.imports.add("from sqlalchemy.dialects import mysql")
        variant = 'mysql.DATETIME(fsp=6), "mysql", "mariadb"'
        return f"sa.DateTime().with_variant({variant})"
    if kind == "server_default" and isinstance(item.arg, (True_, False_)):
        return f"sa.{item.arg}()"
    return False


def normalize_directives(_context: Any, _revision: Any, directives: list[Any]) -> None:
    """Change a generated migration so that it runs on every database, in tables with rows.

    Remove it if it is empty.
    """
    (script,) = directives
    if script.upgrade_ops.is_empty():
        directives[:] = []
        return
    for side in (script.upgrade_ops, script.downgrade_ops):
        is_downgrade = side is script.downgrade_ops
        dropped_tables = {
            op.table_name for op in side.ops if isinstance(op, ops.DropTableOp)
        }
        for op in side.ops:
            if isinstance(op, ops.ModifyTableOps):
                op.ops = [
                    step
                    for step in sort_table_changes(op.ops)
                    if not is_implied_by_table_drop(step, dropped_tables)
                ]
                new = [step for step in op.ops if isinstance(step, ops.AddColumnOp)]
                if is_downgrade:
                    keys = [s for s in op.ops if isinstance(s, ops.CreateForeignKeyOp)]
                    to_portable_types(
                        [step.column for step in new], [k.local_cols for k in keys]
                    )
                for step in new:
                    add_server_default(step, warn=not is_downgrade)
                for change in op.ops:
                    if isinstance(change, ops.AlterColumnOp):
                        use_portable_text(change)
            elif isinstance(op, ops.CreateTableOp) and is_downgrade:
                columns = [c for c in op.columns if isinstance(c, sa.Column)]
                foreign_keys = [
                    c for c in op.columns if isinstance(c, sa.ForeignKeyConstraint)
                ]
                to_portable_types(columns, [key.column_keys for key in foreign_keys])
                if "id" in {column.name for column in columns}:
                    op.kw = TABLE_OPTIONS | op.kw
        side.ops = [op for op in side.ops if getattr(op, "ops", True)]
        if dropped_tables or is_downgrade:
            side.ops = sort_operations(side.ops)


def sort_operations(steps: Iterable[Any]) -> list[Any]:
    """Return the steps so that no foreign key refers to a table that does not exist:
    dropped tables come last, re-created ones first, both in the order of their keys."""
    created = [step for step in steps if isinstance(step, ops.CreateTableOp)]
    dropped = [step for step in steps if isinstance(step, ops.DropTableOp)]
    others = [step for step in steps if step not in created + dropped]
    return [
        *sort_by_references(created),
        *others,
        *reversed(sort_by_references(dropped)),
    ]


def sort_by_references(steps: Iterable[Any]) -> list[Any]:
    """Return steps that each create or drop a table, a table after those it refers to."""
    by_name = {
        step.table_name: step for step in sorted(steps, key=lambda s: s.table_name)
    }
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name, step in by_name.items():
        keys = step.to_table().foreign_keys
        others = {key.target_fullname.partition(".")[0] for key in keys} - {name}
        sorter.add(name, *sorted(others & by_name.keys()))
    with suppress(CycleError):  # no order fits tables that refer to each other
        return [by_name[name] for name in sorter.static_order()]
    return list(by_name.values())


def sort_table_changes(steps: Iterable[Any]) -> list[Any]:
    """Return the changes of a table sorted by OPERATION_ORDER.

    Foreign keys are dropped first.
    """

    def rank(step: Any) -> int:
        if isinstance(step, ops.DropConstraintOp):
            return -1 if step.constraint_type == "foreignkey" else 0
        kinds = [n for n, kind in enumerate(OPERATION_ORDER) if isinstance(step, kind)]
        return kinds[0] if kinds else len(OPERATION_ORDER)

    return sorted(steps, key=rank)


def is_implied_by_table_drop(step: Any, dropped_tables: Collection[str]) -> bool:
    """Return True if a step drops an index of a table that is dropped, too."""
    return isinstance(step, ops.DropIndexOp) and step.table_name in dropped_tables


def to_portable_types(
    columns: Iterable[sa.Column[Any]], keys: Iterable[Iterable[str]]
) -> None:
    """Replace the types of reflected columns by types that every database knows.

    `keys`: for each foreign key, the names of its columns.
    """
    names = {"id", *chain(*keys)}
    for column in columns:
        kind: Any = column.type
        if getattr(kind, "display_width", None) == 1:  # how MariaDB keeps a Boolean
            column.type = sa.Boolean()
            continue
        with suppress(NotImplementedError):
            kind = kind.as_generic()
        if isinstance(kind, sa.Integer) and column.name in names:
            kind = BIGINT_ID
        elif isinstance(kind, sa.DateTime):
            kind = TIMESTAMP
        elif isinstance(kind, sa.Text):
            kind = sa.Text()
        elif isinstance(kind, sa.String) and kind.length:
            kind = portable_text(kind.length)
        column.type = kind


def use_portable_text(step: ops.AlterColumnOp) -> None:
    """Give both types of an altered column our collation, if one of them has it: the
    database reports the other one without it."""
    for ours, theirs in (
        (step.modify_type, "existing_type"),
        (step.existing_type, "modify_type"),
    ):
        other = getattr(step, theirs)
        if getattr(ours, "_variant_mapping", None) and isinstance(other, sa.String):
            if isinstance(ours, sa.String) and other.length:
                setattr(step, theirs, portable_text(other.length))


def portable_text(length: int) -> sa.String:
    """Return the type that `column_for` gives to a string."""
    collated = sa.String(length, collation="C")
    return sa.String(length).with_variant(collated, "postgresql")


def add_server_default(step: ops.AddColumnOp, warn: bool) -> None:
    """Give a new required column a default for the existing rows.

    If there is no default, print a warning, provided that `warn` is True.
    """
    column = step.column
    if column.nullable or column.server_default is not None:
        return
    value = find_default(step.table_name, column)
    if value is not None:
        step.column = sa.Column(
            column.name,
            column.type,
            nullable=False,
            server_default=render_default(value),
        )
    elif warn:
        click.echo(
            f"{step.table_name}.{column.name} is required, but existing rows have no value "
            f"for it: {SERVER_DEFAULT_HINT}",
            err=True,
        )


def find_default(table: str, column: sa.Column[Any]) -> Any:
    """Return the default of a column, of its model or of its schema; None without one."""
    if isinstance(column.type, NullsLastTimestamp):
        return MAX_DATETIME
    if isinstance(column.default, sa.ColumnDefault) and column.default.is_scalar:
        return column.default.arg
    models: Any = sql.Model
    for mapper in models.registry.mappers:
        if mapper.local_table.name == table:
            schema = getattr(mapper.class_, "write_schema", {"properties": {}})
            return schema["properties"].get(column.name, {}).get("default")
    return None


def render_default(value: Any) -> Any:
    """Return a value as a server default that every database accepts."""
    if isinstance(value, bool):
        return sa.true() if value else sa.false()
    if isinstance(value, (int, float)):
        return sa.text(str(value))
    return str(value)
