"""The audit trail: sign-ins, and changes of accounts and permissions."""

from .endpoints import audit
