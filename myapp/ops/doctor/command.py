"""`flask doctor`: what is wrong with this service, here and now, and what mends it.

What it looks at stands in checks.py, and how that is told in findings.py.
"""

import click
from flask import current_app
from flask.cli import with_appcontext

from .checks.common import quoted
from .checks.registry import BEFORE, CHECKS
from .report import ADVICE, OK, WRONG, Finding, show, wrong


def bedridden(app, error):
    """`app`, whose settings ended in this error, with one command: it tells why."""
    init_app(app, None, error)
    return app


def init_app(app, people, error=None):
    """Give `app` its doctor.

    `people`: makes a dict of what there is to say of the accounts: their `number`, whether
    the built-in `roles` and an `admin` are there, and `known`, the names of those whose
    password everybody knows. `error`: why there is no application.
    """
    app.extensions["doctor"] = people, error
    app.cli.add_command(doctor)


@click.command()
@click.option("--strict", is_flag=True, help="Let advice fail it, too.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@with_appcontext
def doctor(strict, as_json):
    """Look at the service and its machine; say what is wrong, and what mends it.

    1 is the exit code where something is wrong. Nothing is changed, and no secret shown.
    """
    _, error = current_app.extensions["doctor"]
    found, left_out = look(BEFORE if error else CHECKS)
    if error:
        left_out = [check.__name__ for check in CHECKS if check not in BEFORE]
    show(found, left_out, as_json)
    levels = {finding.level for finding in found}
    if WRONG in levels or strict and ADVICE in levels:
        raise SystemExit(1)


def look(checks):
    """The findings, and the names of the checks that were left out, since another one that
    they build on had no fact to tell of.

    `checks`: each with the name of that other one, or None.
    """
    found, left_out, facts = [], [], {None: True}
    for check, needed in checks.items():
        name = check.__name__
        if not facts.get(needed):
            left_out.append(name)
            continue
        try:
            facts[name], mine = made(check)
        except Exception as error:  # to tell of all others is worth more than to end
            told = f"cannot be looked at: {type(error).__name__}: {quoted(error)}"
            mine = [wrong(told, "mend what else is wrong, and look again")]
        if facts.get(name) and not mine:
            mine = [(OK, facts[name])]
        found += [Finding(name, *words) for words in mine]
    return found, left_out


def made(check):
    """The fact that a check returns, and the list of what it yields."""
    fact = None

    def through():
        nonlocal fact
        fact = yield from check(current_app.config)

    mine = list(through())
    return fact, mine
