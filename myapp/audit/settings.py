"""Settings of the audit trail."""

AUDIT_DAYS = 365  # days until a line of the audit trail is deleted; 0: never
