"""The task that deletes old lines of the audit trail."""

from datetime import timedelta

from flask import current_app

from ..core import delete_in_batches, now, periodic_task
from .models import AuditLine


@periodic_task(minutes=10)
def purge():
    """Delete the lines that are older than AUDIT_DAYS."""
    days = current_app.config["AUDIT_DAYS"]
    if days:
        old = AuditLine.created_at < now() - timedelta(days=days)
        count = delete_in_batches(AuditLine.__table__, old)
        return count and f"{count} audit lines"
