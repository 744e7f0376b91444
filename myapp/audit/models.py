"""The audit trail: a line for each thing that happened to an account."""

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
    """Something that happened to an account, in the transaction in which it did."""

    __tablename__ = "audit"

    write_schema = request_schema(
        "AuditLineWrite",
        action=text(1, 64, "What happened.", "password changed"),
        account_id=integer(1, MAX_INT64, "The account that it befell.", 7),
        actor=text(1, 64, "Who did it.", "pythonista"),
        address=optional(text(1, 45, "From where.", "192.0.2.17")),
        request_id=optional(text(1, 64, "In which request.", "9f86d081884c7d65")),
        details=optional(text(1, 250, "What else there is to know.", "role=manager")),
    )
    sortable = ("id", "created_at")

    @classmethod
    def indexed_fields(cls):
        """Names of the fields that an index serves: what befell whom is asked often."""
        return (*cls.sortable, "account_id")


@security_event.connect
def record_event(_sender, **line):
    AuditLine.create(**line)
