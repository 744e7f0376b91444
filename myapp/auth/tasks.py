"""The task that deletes ended sessions."""

from datetime import timedelta

from ..core import delete_in_batches, now, periodic_task, sql
from ..users.models import User
from .models import Session

RECENT = timedelta(days=1)


@periodic_task(minutes=10)
def purge():
    """Delete the sessions that have expired or that their account has ended."""
    # Only recently changed accounts can have ended their sessions. If no purge runs for a
    # day, the remaining rows are invalid anyway, and are deleted when they expire.
    changed = sql.select(User.id).where(User.updated_at > now() - RECENT)
    current = sql.select(User.generation).where(User.id == Session.user_id)
    ended = Session.generation != current.scalar_subquery()
    table = Session.__table__
    count = delete_in_batches(table, Session.expires_at < now())
    count += delete_in_batches(table, Session.user_id.in_(changed), ended)
    return count and f"{count} sessions"
