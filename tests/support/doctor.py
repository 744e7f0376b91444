"""Read the findings of a check of `flask doctor`."""

from myapp.ops.doctor.command import registered_checks, run_checks


def findings(app, check, deploy=False):
    """Return the findings of a check, each as (level, message, hint, id).

    Only this check runs, after those that it depends on.
    """
    with app.app_context():
        registered = {each.name: each for each in registered_checks()}
        needed = []
        while check in registered:
            needed.insert(0, registered[check])
            check = registered[check].after
        result, _ = run_checks(needed, deploy)
    last = needed[-1].name if needed else None
    return [tuple(finding)[1:] for finding in result if finding.check == last]


def finding(app, check, deploy=False):
    """Return the only finding of a check, as `findings` does."""
    (only,) = findings(app, check, deploy)
    return only


def ids(app, check, deploy=False):
    """Return the ids of the findings of a check; none if it has no error."""
    return [id for *_, id in findings(app, check, deploy) if id]


def assert_finding(app, id, text="", level=None, deploy=False):
    """Assert that the check of this id has one finding: this one, with this text in it.

    `text`: a part of "message; hint"; `level`: by default as the letter of the id says.
    """
    reported, message, hint, code = finding(app, id.partition(".")[0], deploy)
    expected = level or ("wrong" if ".E" in id else "advice")
    assert (reported, code) == (expected, id), message
    assert text in f"{message}; {hint}"
