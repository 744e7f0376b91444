"""`flask adduser`, `passwd`, `block` and `users`: accounts from the command line."""

import sys
from contextlib import contextmanager

import click

from ..core import Body, ServiceError, sql, unit_of_work, writing
from ..roles.models import Role, an_admin_stays
from .endpoints import users
from .models import PASSWORD, USERNAME, User

users.statistics["accounts"] = sql.select(sql.func.count(User.id)).where(
    User.deleted_at.is_(None)
)
given = Body(writing("AccountOnCommandLine", username=USERNAME, password=PASSWORD))


def asked_password():
    """A password: the first line of standard input, or asked for twice on a terminal."""
    if sys.stdin.isatty():
        return click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return sys.stdin.readline().rstrip("\r\n")


@users.cli.command("adduser")
@click.argument("name")
@click.option("--role", help="A role's title; by default that of newcomers.")
def add_user(name, role):
    """Add an account; asks for its password, or reads it from standard input.

    Where the account is there already, it gets the role, and keeps its password.
    """
    with explained(), unit_of_work(), an_admin_stays():
        found = User.find(name)
        verb = "was there already" if found else "is there now"
        if found is None:
            body = given.check({"username": name, "password": asked_password()})
            found = User.create(**body, role=role)
        elif role:
            found.update(found.username, role=role, status=found.status)
    click.echo(f"{found.username} {verb}, as {found.role}.")


@users.cli.command("passwd")
@click.argument("name")
def set_password(name):
    """Give an account a new password, which ends its sessions."""
    with explained(), unit_of_work():
        found = existing(name)
        body = given.check({"username": found.username, "password": asked_password()})
        found.update(**body, status=found.status)
    click.echo(f"{found.username} has a new password.")


@users.cli.command("block")
@click.argument("name")
@click.option("--undo", is_flag=True, help="Let it in again.")
def block(name, undo):
    """Keep an account out, at once."""
    with explained(), unit_of_work(), an_admin_stays():
        found = existing(name)
        found.update(found.username, status="normal" if undo else "blocked")
    click.echo(f"{found.username} is {found.status} now.")


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


def existing(name):
    """The account of that name; a clear error where there is none."""
    found = User.find(name)
    if found is None:
        raise click.ClickException(f"There is no account {name}.")
    return found


@contextmanager
def explained():
    """Say what an HTTP client would be told."""
    try:
        yield
    except ServiceError as error:
        faults = [f"{f['pointer'][1:]}: {f['detail']}" for f in error.errors or ()]
        raise click.ClickException("; ".join(faults) or error.detail) from None
