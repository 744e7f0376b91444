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
    authenticator = app.extensions["authenticator"]
    bearer, basic = get_credentials(app)
    client = app.test_client()
    request_cost = measure(lambda: client.get("/unguarded"))
    clear_cache = {
        "": lambda: None,
        "account": authenticator.accounts.clear,
        "token": authenticator.claims.clear,
        "password": authenticator.passwords.clear,
    }

    def print_line(name, authorization, cold="", calls=CALLS):
        environ = EnvironBuilder(headers={"Authorization": authorization}).get_environ()

        def authenticate():
            clear_cache[cold]()
            with app.request_context(environ):
                authentication.authenticate_request(basic_only=False)

        def skip_authentication():
            clear_cache[cold]()
            with app.request_context(environ):
                request.path

        cost = measure(authenticate, calls, minus=skip_authentication)
        print(f"{name:<38}{cost:>10.1f}{cost / request_cost:>10.3f}")

    print(f"{'CPU of':<38}{'µs':>10}{'ratio':>10}")
    print(f"{'a whole request, unguarded':<38}{request_cost:>10.1f}{1:>10.3f}")
    print_line("Bearer, warm", bearer)
    print_line("Basic, warm", basic)
    print_line("Bearer, its signature checked", bearer, "token")
    print_line("Bearer, its account looked up", bearer, "account")
    print_line("Basic, its account looked up", basic, "account")
    print_line("Basic, its password hashed", basic, "password", calls=1)


def get_credentials(app):
    """Return two Authorization headers: Bearer and Basic."""
    basic = "Basic " + b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
    body = {"username": NAME, "password": PASSWORD}
    pair = app.test_client().post("/api/v1/auth/login", json=body).json
    assert app.extensions["authenticator"].tokens.read(
        ACCESS_TOKEN_TYPE, pair["access_token"]
    )
    return f"Bearer {pair['access_token']}", basic


def measure(call, calls=CALLS, minus=None):
    """Return the CPU microseconds of a call, minus those of `minus`; the best round."""

    def run_round(function):
        start = time.process_time()
        for _ in range(calls):
            function()
        return (time.process_time() - start) / calls * 1e6

    call()
    costs = [(run_round(call), run_round(minus) if minus else 0) for _ in range(ROUNDS)]
    return min(cost for cost, _ in costs) - min(base for _, base in costs)


if __name__ == "__main__":
    main()
