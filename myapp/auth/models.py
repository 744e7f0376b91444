"""What sign-in answers with."""

from ..schema import reading

token = reading(
    "Token",
    token={"type": "string", "description": "Send it as `Authorization: Bearer …`."},
    expires_in={
        "type": "integer",
        "minimum": 1,
        "description": "Seconds.",
        "examples": [900],
    },
)
