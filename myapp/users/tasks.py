"""Accounts that were deleted long ago."""

from datetime import timedelta

from ..core import delete_in_batches, now, periodic_task
from .models import User

RETENTION = timedelta(days=30)


@periodic_task(minutes=10)
def purge():
    """Remove them for good, with all that is theirs; what the audit trail tells stays."""
    old = User.deleted_at < now() - RETENTION
    count = delete_in_batches(User.__table__, old)
    return count and f"{count} accounts"
