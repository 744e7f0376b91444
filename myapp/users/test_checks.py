"""The checks of accounts in `flask doctor`."""

import pytest
from flask_migrate import upgrade

from conftest import close_stores, signed_in_client
from myapp.core.data.session import sql, unit_of_work
from support.accounts import ACCOUNT
from support.doctor import finding, findings

from .models import User

HINT = "flask adduser NAME --role admin"


@pytest.fixture
def empty_app(make_app, empty_uri):
    """Return an application with empty tables."""
    app = make_app(SQLALCHEMY_DATABASE_URI=empty_uri)
    with app.app_context():
        upgrade()
    yield app
    close_stores(app)


def test_accounts_need_the_built_in_roles_and_production_an_account(empty_app):
    expected = ("wrong", "the built-in roles are missing", "flask deploy")
    assert finding(empty_app, "accounts") == expected
    empty_app.test_cli_runner().invoke(args=["deploy"])
    assert finding(empty_app, "accounts") == ("advice", "there is no account", HINT)
    empty_app.config["CONFIG_NAME"] = "production"
    assert finding(empty_app, "accounts") == ("wrong", "there is no account", HINT)


def test_production_needs_an_active_admin_and_no_password_of_development(live_app):
    signed_in_client(live_app, "gone").delete(ACCOUNT)
    assert finding(live_app, "accounts") == ("ok", "2, without an admin", "")
    signed_in_client(live_app, "chief", "admin")
    assert finding(live_app, "accounts") == ("ok", "3, with an admin", "")
    live_app.config["CONFIG_NAME"] = "production"
    first, second = findings(live_app, "accounts")
    message = "pythonista has the password of a demo account"
    assert first == ("wrong", message, "flask passwd pythonista")
    assert second[::2] == ("wrong", "flask passwd engineer")
    with live_app.app_context(), unit_of_work():
        sql.session.execute(sql.update(User).values(status="blocked"))
    admin, *_ = findings(live_app, "accounts")
    assert admin == ("advice", "no account has all permissions", HINT)
