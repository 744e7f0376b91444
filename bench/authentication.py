"""Measure the CPU time that authentication adds to a request; it takes some seconds.

    python bench/authentication.py

Each line is measured in a new request context, alternating with one without authentication,
whose cost is subtracted; the best of several rounds counts. The ratio is to a whole request
for a view without authentication that answers at once.
"""

import sys
import tempfile
import time
from base64 import b64encode
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from flask import request
from flask_migrate import upgrade
from werkzeug.test import EnvironBuilder

from myapp import create_app
from myapp.core.data.session import sql, unit_of_work
from myapp.core.security import authentication
from myapp.core.security.tokens import ACCESS_TOKEN_TYPE
from myapp.roles.models import Role
from myapp.users.models import User

NAME, PASSWORD = "gardener", "green fingers"
ROUNDS = 5
CALLS = 500  # in a round; fewer of calls that are slow on purpose


def main():
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(
            "testing",
            SQLALCHEMY_DATABASE_URI=f"sqlite:///{folder}/bench.sqlite3",
            REDIS_URL="unix:///nowhere",
        )
        app.add_url_rule("/unguarded", view_func=lambda: "here you are")
        with app.app_context():
            upgrade()
            with unit_of_work():
                Role.ensure_builtin_roles()
                User.create(NAME, PASSWORD)
        report(app)
        with app.app_context():
            sql.engine.dispose()


def report(app):
    """Print the table."""
    known = app.extensions["authenticator"]
    bearer, basic = credentials(app)
    client = app.test_client()
    whole = cpu(lambda: client.get("/unguarded"))
    forget = {
        "": lambda: None,
        "account": known.accounts.clear,
        "token": known.claims.clear,
        "password": known.passwords.clear,
    }

    def line(name, authorization, cold="", calls=CALLS):
        environ = EnvironBuilder(headers={"Authorization": authorization}).get_environ()

        def guarded():
            forget[cold]()
            with app.request_context(environ):
                authentication.authenticate_request(basic_only=False)

        def unguarded():
            forget[cold]()
            with app.request_context(environ):
                request.path

        added = cpu(guarded, calls, minus=unguarded)
        print(f"{name:<38}{added:>10.1f}{added / whole:>10.3f}")

    print(f"{'CPU of':<38}{'µs':>10}{'ratio':>10}")
    print(f"{'a whole request, unguarded':<38}{whole:>10.1f}{1:>10.3f}")
    line("Bearer, warm", bearer)
    line("Basic, warm", basic)
    line("Bearer, its signature checked", bearer, "token")
    line("Bearer, its account looked up", bearer, "account")
    line("Basic, its account looked up", basic, "account")
    line("Basic, its password hashed", basic, "password", calls=1)


def credentials(app):
    """Return two Authorization headers: Bearer and Basic."""
    basic = "Basic " + b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
    body = {"username": NAME, "password": PASSWORD}
    pair = app.test_client().post("/api/v1/auth/login", json=body).json
    assert app.extensions["authenticator"].tokens.read(
        ACCESS_TOKEN_TYPE, pair["access_token"]
    )
    return f"Bearer {pair['access_token']}", basic


def cpu(call, calls=CALLS, minus=None):
    """Return the CPU microseconds of a call, minus those of `minus`; the best round."""

    def once(function):
        start = time.process_time()
        for _ in range(calls):
            function()
        return (time.process_time() - start) / calls * 1e6

    call()
    costs = [(once(call), once(minus) if minus else 0) for _ in range(ROUNDS)]
    return min(cost for cost, _ in costs) - min(less for _, less in costs)


if __name__ == "__main__":
    main()
