"""The audit trail: a line for each security event of an account."""

from ..core import (
    MAX_INT64,
    SqlModel,
    integer,
    optional,
    request_schema,
    security_event,
    text,
)


class AuditLine(SqlModel):
    """A security event of an account, stored in the transaction that caused it."""

    __tablename__ = "audit"

    write_schema = request_schema(
        "AuditLineWrite",
        action=text(1, 64, "The event.", "password changed"),
        account_id=integer(1, MAX_INT64, "The id of the affected account.", 7),
        actor=text(1, 64, "The username of the account that caused it.", "pythonista"),
        address=optional(text(1, 45, "The IP address of the client.", "192.0.2.17")),
        request_id=optional(text(1, 64, "The id of the request.", "9f86d081884c7d65")),
        details=optional(text(1, 250, "Further details.", "role=manager")),
    )
    sortable = ("id", "created_at")

    @classmethod
    def indexed_fields(cls):
        """Return the names of the fields that an index serves."""
        return (*cls.sortable, "account_id")


@security_event.connect
def record_event(_sender, **line):
    """Add a line to the audit trail."""
    AuditLine.create(**line)
