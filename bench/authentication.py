"""What the guard adds to a request: CPU microseconds, a few seconds in all.

    python bench/authentication.py

Each line is measured around a request context of its own, in turns with an unguarded one,
whose cost is taken off; the best of several rounds counts. The ratio is to a whole request
for an unguarded view that answers at once.
"""

import sys
import tempfile
import time
from base64 import b64encode
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from flask import request  # noqa: E402
from flask_migrate import upgrade  # noqa: E402
from werkzeug.test import EnvironBuilder  # noqa: E402

from myapp import create_app  # noqa: E402
from myapp.core.data.session import sql, unit_of_work  # noqa: E402
from myapp.core.security import authentication  # noqa: E402
from myapp.core.security.tokens import ACCESS_TOKEN_TYPE  # noqa: E402
from myapp.roles.models import Role  # noqa: E402
from myapp.users.models import User  # noqa: E402

NAME, PASSWORD = "gardener", "green fingers"
ROUNDS = 5
CALLS = 500  # in a round; fewer where a call is slow on purpose


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
    """What Authorization says, as Bearer and as Basic."""
    basic = "Basic " + b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
    body = {"username": NAME, "password": PASSWORD}
    pair = app.test_client().post("/api/v1/auth/login", json=body).json
    assert app.extensions["authenticator"].tokens.read(
        ACCESS_TOKEN_TYPE, pair["access_token"]
    )
    return f"Bearer {pair['access_token']}", basic


def cpu(call, calls=CALLS, minus=None):
    """CPU microseconds of one call, less those of `minus`; the best of the rounds."""

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
