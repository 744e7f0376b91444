"""Read and delete many rows in batches."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Row,
    Select,
    Table,
    bindparam,
    delete,
    select,
)

from .dialects import no_statement_timeout
from .session import _writes, sql, unit_of_work

# rows that a unit of work deletes; few enough not to block others
DELETE_BATCH_ROWS = 1000


def in_batches(statement: Select, size: int) -> Iterator[Sequence[Row]]:
    """Yield the rows of a query in lists of `size`, all from one snapshot.

    The last list is shorter, perhaps empty. A separate session reads them. It may outlive
    the request's unit of work, and is closed before the last list is yielded.
    """
    reads_on = sql.engine.dialect.driver == "pymysql"
    with sql.session.session_factory() as session:
        token = _writes.set(False)
        try:
            with no_statement_timeout(session.connection()):
                rows: Any = session.execute(
                    statement, execution_options={"yield_per": size}
                )
        finally:
            _writes.reset(token)
        try:
            while len(batch := rows.fetchmany(size)) == size:
                yield batch
        except GeneratorExit:
            if reads_on:  # all remaining rows, before it returns the connection
                rows.raw.cursor._result.unbuffered_active = False
                session.invalidate()
            raise
        finally:
            rows.close()
    yield batch


def delete_in_batches(table: Table, *conditions: ColumnElement[bool]) -> int:
    """Delete the rows that meet the conditions; return their number.

    A unit of work deletes DELETE_BATCH_ROWS rows at most. Rows that another transaction has
    locked are left for the next call.

    An index must serve the conditions, because each batch is a new query. Rows that a
    foreign key would delete along with a row are deleted before it, in batches too, since
    there may be a million of them. So a row with such dependents must never cease to meet
    the conditions.
    """
    dependent_columns = [
        key.parent
        for other in reversed(sql.metadata.sorted_tables)
        for key in other.foreign_keys
        if key.column.table is table and key.ondelete == "CASCADE"
    ]
    batch = select(*table.primary_key).where(*conditions).limit(DELETE_BATCH_ROWS)
    batch = batch.with_for_update(skip_locked=True)
    total, more = 0, True
    while more:
        with unit_of_work():
            rows = sql.session.execute(batch).all()
            more = len(rows) == DELETE_BATCH_ROWS
            if not dependent_columns:
                total += _delete(table, rows)
        if rows and dependent_columns:
            for column in dependent_columns:
                delete_in_batches(column.table, column.in_([row[0] for row in rows]))
            with unit_of_work():
                total += _delete(table, rows)
    return total


def _delete(table: Table, rows: Sequence[Row]) -> int:
    first, *more = key = list(table.primary_key)
    if not rows:
        return 0
    if more:  # PostgreSQL would compare a list of pairs with each row of the table
        this = [column == bindparam(column.name) for column in key]
        values = [row._asdict() for row in rows]
        result = sql.session.execute(delete(table).where(*this), values)
    else:
        these = first.in_([row[0] for row in rows])
        result = sql.session.execute(delete(table).where(these))
    return cast(CursorResult[Any], result).rowcount
