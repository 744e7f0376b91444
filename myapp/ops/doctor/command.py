"""`flask doctor`: run the checks of this package and of the features."""

import click
from flask import current_app
from flask.cli import with_appcontext

from ...core.observability.checks import CHECKS, error
from .checks import database, machine, redis, runtime, settings
from .checks.common import redacted_message
from .report import ERROR, OK, WARNING, CheckMessage, print_report

MODULES = (
    runtime,
    settings,
    machine,
    database,
    redis,
)  # in the order in which they run


def doctor_only_app(app, features, error):
    """Give `app`, whose settings raised `error`, only the doctor; it reports the error."""
    init_app(app, features, error)
    return app


def init_app(app, features, error=None):
    """Give `app` the command; `error`: why its settings cannot be used."""
    app.extensions["doctor"] = features, error
    app.cli.add_command(doctor)


@click.command()
@click.option("--strict", is_flag=True, help="Fail on advice, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_appcontext
def doctor(strict, as_json):
    """Check the service and its machine, and print what is wrong and how to fix it.

    The exit code is 1 if something is wrong. It changes nothing, and shows no secret.
    """
    features, _ = current_app.extensions["doctor"]
    findings, left_out = run_checks(registered_checks(features))
    print_report(findings, left_out, as_json)
    levels = {finding.level for finding in findings}
    if ERROR in levels or strict and WARNING in levels:
        raise SystemExit(1)


def registered_checks(features):
    """Return the checks of this package, then those in the features' checks.py."""
    modules = [*MODULES, *(feature.module("checks") for feature in features)]
    return [check for m in modules if m for check in CHECKS[m.__name__]]


def run_checks(checks):
    """Return the findings, and the names of the checks that did not run.

    A check does not run if the one that it depends on has returned nothing.
    """
    findings, left_out, facts = [], [], {None: True}
    for name, after, function in checks:
        if not facts.get(after):
            left_out.append(name)
            continue
        try:
            facts[name], results = run_check(function)
        except Exception as exception:  # the other checks still run
            message = (
                f"the check failed: {type(exception).__name__}: "
                f"{redacted_message(exception)}"
            )
            results = [
                error(message, "fix the other faults, and run the command again")
            ]
        if facts.get(name) and not results:
            results = [(OK, facts[name], "")]
        findings += [CheckMessage(name, *result) for result in results]
    return findings, left_out


def run_check(function):
    """Return what a check returns, and the list of what it yields."""
    fact = None

    def results():
        nonlocal fact
        fact = yield from function(current_app.config)

    yielded = list(results())
    return fact, yielded
