"""The task that purges deleted accounts."""

from datetime import timedelta

from ..core import delete_in_batches, now, periodic_task
from .models import User

RETENTION = timedelta(days=30)


@periodic_task(minutes=10)
def purge():
    """Purge accounts deleted over 30 days ago, with all they own; the audit trail stays."""
    old = User.deleted_at < now() - RETENTION
    count = delete_in_batches(User.__table__, old)
    return count and f"{count} accounts"
