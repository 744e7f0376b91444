"""What the status addresses answer with."""

from ..core import flag, reading

PART = {"type": "string", "description": "`ok`, or why not.", "examples": ["ok"]}

liveness = reading(
    "Status",
    online=flag("True, or there would be no answer."),
    uptime={"type": "number", "minimum": 0, "description": "Seconds since the start."},
    version={"type": "string", "description": "semver.org", "examples": ["1.2.3"]},
)
readiness = reading(
    "Readiness", database=PART, migrations=PART, redis=PART, worker=PART
)
