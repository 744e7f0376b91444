"""The checks of accounts in `flask doctor`."""

import pytest
from flask_migrate import upgrade

from conftest import close_stores, signed_in_client
from myapp.core.data.session import sql, unit_of_work
from support.doctor import finding, findings

HINT = "flask adduser NAME --role admin"


@pytest.fixture
def empty_app(make_app, empty_uri):
    """Return an application with empty tables."""
    app = make_app(SQLALCHEMY_DATABASE_URI=empty_uri)
    with app.app_context():
        upgrade()
    yield app
    close_stores(app)


def test_accounts_need_the_built_in_roles(empty_app):
    message = "the built-in roles are missing"
    expected = ("wrong", message, "flask deploy", "accounts.E001")
    assert finding(empty_app, "accounts") == expected


def test_production_without_accounts_is_an_error(empty_app):
    empty_app.test_cli_runner().invoke(args=["deploy"])
    expected = ("there is no account", HINT, "accounts.E002")
    assert finding(empty_app, "accounts") == ("advice", *expected)
    assert finding(empty_app, "accounts", deploy=True) == ("wrong", *expected)
    empty_app.config["CONFIG_NAME"] = "production"
    assert finding(empty_app, "accounts") == ("wrong", *expected)


def test_accounts_are_counted_without_the_deleted_ones(live_app):
    assert finding(live_app, "accounts") == ("ok", "2, without an admin", "", "")
    signed_in_client(live_app, "chief", "admin").delete("/api/v1/users/1")
    assert finding(live_app, "accounts") == ("ok", "2, with an admin", "", "")


def test_production_needs_an_admin_who_can_sign_in(live_app):
    signed_in_client(live_app, "chief", "admin")
    change(live_app, "UPDATE users SET status = 'blocked'")
    live_app.config["CONFIG_NAME"] = "production"
    admin, *_ = findings(live_app, "accounts")
    message = "no account has all permissions"
    assert admin == ("advice", message, HINT, "accounts.W003")


def test_production_has_no_account_with_a_password_of_development(live_app):
    signed_in_client(live_app, "chief", "admin")
    live_app.config["CONFIG_NAME"] = "production"
    first, second = findings(live_app, "accounts")
    message = "pythonista has the password of a demo account"
    assert first == ("wrong", message, "flask passwd pythonista", "accounts.E004")
    assert second[::2] == ("wrong", "flask passwd engineer")


def change(app, statement):
    with app.app_context(), unit_of_work():
        sql.session.execute(sql.text(statement))
