"""Accounts that were deleted long ago."""

from datetime import timedelta

from ..db import AT_ONCE, delete_in_batches, unit_of_work
from ..jobs import every
from ..model import now, sql
from .models import User

KEPT = timedelta(days=30)


@every(minutes=10)
def purge():
    """Remove them for good, with all that is theirs; what the audit trail tells stays.

    Somebody may own a million things: these go first, table by table. Broken off, the
    next sweep goes on.
    """
    due = sql.select(User.id).where(User.deleted_at < now() - KEPT).limit(AT_ONCE)
    with unit_of_work(writes=False):
        ids = sql.session.scalars(due).all()
    for owner in owners() if ids else ():
        delete_in_batches(owner.table, owner.in_(ids))
    return f"{delete_in_batches(User.__table__, User.id.in_(ids))} accounts"


def owners():
    """The columns that name an account, in an order in which their rows can go."""
    tables = reversed(sql.metadata.sorted_tables)
    keys = [key for table in tables for key in table.foreign_keys]
    return [key.parent for key in keys if key.column is User.__table__.c.id]
