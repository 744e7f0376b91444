"""Read and delete many rows in batches."""

from sqlalchemy import bindparam, delete, select

from .dialects import unhurried
from .session import _writes, sql, unit_of_work

AT_ONCE = 1000  # rows that a sweep writes in one unit of work; nobody waits for it long


def in_batches(statement, size):
    """The rows of a query in lists of `size`, all from one snapshot, the last one shorter.

    They are read in a session of its own, which may outlive the request's unit of work,
    and which is closed before the last list is handed out.
    """
    reads_on = sql.engine.dialect.driver == "pymysql"
    with sql.session.session_factory() as session:
        token = _writes.set(False)
        try:
            with unhurried(session.connection()):
                rows = session.execute(statement, execution_options={"yield_per": size})
        finally:
            _writes.reset(token)
        try:
            while len(batch := rows.fetchmany(size)) == size:
                yield batch
        except GeneratorExit:
            if reads_on:  # all that is left, before it gives the connection back
                rows.raw.cursor._result.unbuffered_active = False
                session.invalidate()
            raise
        finally:
            rows.close()
    yield batch


def delete_in_batches(table, *conditions):
    """Delete the rows that meet the conditions, AT_ONCE of them in a unit of work; returns
    how many. What somebody else holds just now stays for another time.

    An index must serve the conditions, since each batch is looked for anew. What a foreign
    key would delete with a row goes before it in the same way, for that may be a million;
    so a row that others depend on must meet the conditions for ever.
    """
    depending = [
        key.parent
        for other in reversed(sql.metadata.sorted_tables)
        for key in other.foreign_keys
        if key.column.table is table and key.ondelete == "CASCADE"
    ]
    found = select(*table.primary_key).where(*conditions).limit(AT_ONCE)
    found = found.with_for_update(skip_locked=True)
    total, more = 0, True
    while more:
        with unit_of_work():
            rows = sql.session.execute(found).all()
            more = len(rows) == AT_ONCE
            if not depending:
                total += _delete(table, rows)
        if rows and depending:
            for column in depending:
                delete_in_batches(column.table, column.in_([id for (id,) in rows]))
            with unit_of_work():
                total += _delete(table, rows)
    return total


def _delete(table, rows):
    first, *more = key = list(table.primary_key)
    if not rows:
        return 0
    if more:  # of a list of pairs PostgreSQL compares each with each row of the table
        this = [column == bindparam(column.name) for column in key]
        values = [row._asdict() for row in rows]
        return sql.session.execute(delete(table).where(*this), values).rowcount
    these = first.in_([id for (id,) in rows])
    return sql.session.execute(delete(table).where(these)).rowcount
