"""What the status addresses answer with."""

from ..schema import reading

PART = {"type": "string", "description": "`ok`, or why not.", "examples": ["ok"]}

liveness = reading(
    "Status",
    online={"type": "boolean", "examples": [True]},
    uptime={"type": "number", "minimum": 0, "description": "Seconds."},
    version={"type": "string", "examples": ["1.2.3"]},
)
readiness = reading("Readiness", database=PART, migrations=PART, redis=PART)
