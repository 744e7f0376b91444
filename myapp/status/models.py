"""The schemas of liveness and readiness."""

from ..core import boolean, response_schema

PART = {
    "type": "string",
    "description": "`ok`, or the reason of the failure.",
    "examples": ["ok"],
}

liveness = response_schema(
    "Status",
    online=boolean("Always true."),
    uptime={"type": "number", "minimum": 0, "description": "Seconds since the start."},
    version={
        "type": "string",
        "description": "The version of the service (semver.org).",
        "examples": ["1.2.3"],
    },
)
readiness = response_schema(
    "Readiness", database=PART, migrations=PART, redis=PART, worker=PART
)
