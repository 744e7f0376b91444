"""`flask doctor`: run the checks of this package and of the features."""

import click
from flask import current_app
from flask.cli import with_appcontext

from ...core.observability.checks import CHECKS, Context, Error
from ...core.settings import configuration_name
from . import database, machine, redis, settings
from .report import Finding, print_report

MODULES = (settings, machine, database, redis)  # in the order in which they run


def init_app(app, features, settings_error=None):
    """Give `app` the command; `settings_error`: why its settings cannot be used."""
    app.extensions["doctor"] = features, settings_error
    app.cli.add_command(doctor)


@click.command()
@click.option("--deploy", is_flag=True, help="Add the checks for production.")
@click.option("--strict", is_flag=True, help="Fail on advice, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_appcontext
def doctor(deploy, strict, as_json):
    """Check the service and its machine, and print what is wrong and how to fix it.

    The exit code is 1 if something is wrong. It changes nothing, and shows no secret.
    """
    findings, left_out = run_checks(registered_checks(), deploy)
    print_report(findings, left_out, as_json)
    levels = {finding.level for finding in findings}
    if "wrong" in levels or strict and "advice" in levels:
        raise SystemExit(1)


def registered_checks():
    """Return the checks of this package, then those in the features' checks.py."""
    features, _ = current_app.extensions["doctor"]
    modules = [*MODULES, *(feature.module("checks") for feature in features)]
    return [check for module in modules if module for check in CHECKS[module.__name__]]


def run_checks(checks, deploy=False):
    """Return the findings, and the names of the checks that had to be left out."""
    config, (_, settings_error) = current_app.config, current_app.extensions["doctor"]
    environment = config.get("CONFIG_NAME", configuration_name())
    deploy = deploy or environment == "production"
    findings, left_out, passed = [], [], {None}
    for check in checks:
        if check.deploy and not deploy:
            continue
        if check.after not in passed:
            left_out.append(check.name)
            continue
        context = Context(check.name, config, deploy, settings_error)
        try:
            messages = list(check.function(context))
        except Exception as exception:  # the other checks still run
            text = settings.redacted_message(exception)
            message = f"the check failed: {type(exception).__name__}: {text}"
            hint = "fix the other faults, and run the command again"
            messages = [Error(message, hint, f"{check.name}.E000")]
        others = [message for message in messages if message[0] != "ok"]
        if len(others) < len(messages):
            passed.add(check.name)
        findings += [Finding(check.name, *message) for message in others or messages]
    return findings, left_out
