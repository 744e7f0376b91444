"""What the status addresses answer with."""

from ..core import boolean, response_schema

PART = {"type": "string", "description": "`ok`, or why not.", "examples": ["ok"]}

liveness = response_schema(
    "Status",
    online=boolean("True, or there would be no answer."),
    uptime={"type": "number", "minimum": 0, "description": "Seconds since the start."},
    version={"type": "string", "description": "semver.org", "examples": ["1.2.3"]},
)
readiness = response_schema(
    "Readiness", database=PART, migrations=PART, redis=PART, worker=PART
)
