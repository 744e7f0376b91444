"""Run `flask doctor`, and read what it has found."""

import json


def findings(app, check):
    """Return the level, the message and the hint of each finding of a check."""
    result = app.test_cli_runner().invoke(args=["doctor", "--json"])
    found = json.loads(result.stdout)
    return [(f["level"], f["told"], f["mend"]) for f in found if f["check"] == check]


def finding(app, check):
    """Return the only finding of a check, as `findings` does."""
    (only,) = findings(app, check)
    return only
