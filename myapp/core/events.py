"""Security events: a feature that changes accounts or permissions emits them.

They are emitted in the transaction of the change. A feature that records them connects to
the signal, so neither feature knows the other.
"""

from typing import Any

from blinker import Signal
from flask import g, has_request_context, request

security_event = Signal()


def emit_security_event(
    action: str, account_id: int, actor: str | None = None, **details: Any
) -> None:
    """Emit a security event: `action` (as "password changed") affects an account.

    `actor`: the username of the account that acts; by default the caller.
    `details`: more values for the record. Never a password, a token or a hash.
    """
    in_request = has_request_context()
    caller = g.get("caller")
    no_caller = "anonymous" if in_request else "command line"
    security_event.send(
        action=action,
        account_id=account_id,
        actor=actor or (caller.username if caller else no_caller),
        address=request.remote_addr if in_request else None,
        request_id=g.get("request_id") if in_request else None,
        details=" ".join(f"{name}={value}" for name, value in details.items()) or None,
    )
