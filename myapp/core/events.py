"""Security events: a feature that changes accounts or permissions emits them.

They are emitted in the transaction of the change. A feature that records them connects to
the signal, so neither feature knows the other.
"""

from blinker import Signal
from flask import g, has_request_context, request

happened = Signal()


def tell(action, account_id, actor=None, **details):
    """Say that `action` (as "password changed") befell the account of that id.

    `actor`: who did it, by username; by default the caller.
    `details`: anything else worth knowing. Never a password, a token or a hash.
    """
    inside = has_request_context()
    caller = g.get("caller")
    nobody = "a stranger" if inside else "command line"
    happened.send(
        action=action,
        account_id=account_id,
        actor=actor or (caller.username if caller else nobody),
        address=request.remote_addr if inside else None,
        request_id=g.get("request_id") if inside else None,
        details=" ".join(f"{name}={value}" for name, value in details.items()) or None,
    )
