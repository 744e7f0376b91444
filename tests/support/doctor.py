"""Read the findings of a check of `flask doctor`."""

from myapp.ops.doctor.command import registered_checks, run_checks


def findings(app, check):
    """Return the level, the message and the hint of each finding of a check.

    Only this check runs, after those that it depends on.
    """
    features, _ = app.extensions["doctor"]
    registered = {each.name: each for each in registered_checks(features)}
    needed = []
    while check in registered:
        needed.insert(0, registered[check])
        check = registered[check].after
    with app.app_context():
        result, _ = run_checks(needed)
    last = needed[-1].name if needed else None
    return [tuple(finding)[1:] for finding in result if finding.check == last]


def finding(app, check):
    """Return the only finding of a check, as `findings` does."""
    (only,) = findings(app, check)
    return only
