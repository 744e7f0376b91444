"""What a migration does to our tables beyond Alembic's own ways."""

from contextlib import contextmanager

import sqlalchemy as sa
from alembic.ddl.sqlite import SQLiteImpl
from alembic.util import CommandError

# What a migration does


class OnSqlite(SQLiteImpl):
    """To change a column of SQLite's, Alembic makes the table anew as it reads it there,
    and that does not tell that ids never come back."""

    __dialect__ = "sqlite"

    def prep_table_for_batch(self, batch_impl, table):
        new = batch_impl.new_table
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
