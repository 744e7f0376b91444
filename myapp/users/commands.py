"""`flask adduser`, `passwd`, `block` and `users`: accounts from the command line."""

import sys
from contextlib import contextmanager

import click

from ..core import BodyValidator, ServiceError, request_schema, sql, unit_of_work
from ..roles.models import Role, last_admin_guard
from .endpoints import users
from .models import PASSWORD, USERNAME, User

account_body = BodyValidator(
    request_schema("AccountOnCommandLine", username=USERNAME, password=PASSWORD)
)


def read_password():
    """Prompt for the password on a terminal, or else read a line of standard input."""
    if sys.stdin.isatty():
        return click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return sys.stdin.readline().rstrip("\r\n")


@users.cli.command("adduser")
@click.argument("name")
@click.option("--role", help="The title of a role; by default the default role.")
def add_user(name, role):
    """Add an account; its password is prompted for, or read from standard input.

    An existing account gets the role and keeps its password.
    """
    with click_service_errors(), unit_of_work(), last_admin_guard():
        user = User.find(name)
        verb = "exists already" if user else "was added"
        if user is None:
            body = account_body.validate(
                {"username": name, "password": read_password()}
            )
            user = User.create(**body, role=role)
        elif role:
            user.update(user.username, role=role, status=user.status)
    click.echo(f"{user.username} {verb}, as {user.role}.")


@users.cli.command("passwd")
@click.argument("name")
def set_password(name):
    """Set the password of an account, and end its sessions."""
    with click_service_errors(), unit_of_work():
        user = require_user(name)
        body = account_body.validate(
            {"username": user.username, "password": read_password()}
        )
        user.update(**body, status=user.status)
    click.echo(f"{user.username} has a new password.")


@users.cli.command("block")
@click.argument("name")
@click.option("--undo", is_flag=True, help="Unblock it.")
def block(name, undo):
    """Block an account at once."""
    with click_service_errors(), unit_of_work(), last_admin_guard():
        user = require_user(name)
        user.update(user.username, status="normal" if undo else "blocked")
    click.echo(f"{user.username} is {user.status} now.")


@users.cli.command("users")
def list_users():
    """List the accounts."""
    with unit_of_work(writes=False):
        rows = sql.session.execute(
            sql.select(User.id, User.username, Role.title, User.status)
            .join(Role, Role.id == User.role_id)
            .where(User.deleted_at.is_(None))
            .order_by(User.id)
        )
        for id, username, role, status in rows:
            click.echo(f"{id:>6}  {username:<24} {role:<12} {status}")


def demo_accounts(config):
    """Return the name and password of each demo account that the settings name."""
    pairs = (
        (config[f"AUTH_USERNAME{number}"], config[f"AUTH_PASSWORD{number}"])
        for number in (1, 2)
    )
    return [pair for pair in pairs if all(pair)]


def require_user(name):
    """Return the account with this name. Raises ClickException if there is none."""
    user = User.find(name)
    if user is None:
        raise click.ClickException(f"There is no account {name}.")
    return user


@contextmanager
def click_service_errors():
    """Report a ServiceError with the details that an HTTP client would get."""
    try:
        yield
    except ServiceError as error:
        faults = [f"{f['pointer'][1:]}: {f['detail']}" for f in error.errors or ()]
        raise click.ClickException("; ".join(faults) or error.detail) from None
