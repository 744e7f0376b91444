"""The checks of accounts for `flask doctor`."""

from default_config import DevelopmentConfig

from ..core import (
    Error,
    Ok,
    Warning,
    check,
    sql,
    unit_of_work,
    verify_password,
)
from ..roles.models import Role, has_admin
from .commands import demo_accounts
from .models import User


@check("accounts", after="migrations")
def check_accounts(context):
    """Check that an admin can sign in, and that no account has a well-known password."""
    hint = "flask adduser NAME --role admin"
    with unit_of_work(writes=False):
        has_roles, admin = Role.by_title("admin") is not None, has_admin()
        number = sql.session.scalar(
            sql.select(sql.func.count(User.id)).where(User.deleted_at.is_(None))
        )
        names = list(names_with_known_password()) if context.deploy else []
    if not has_roles:
        yield Error("the built-in roles are missing", "flask deploy", "accounts.E001")
    elif not number:
        yield context.error_on_deploy("there is no account", hint, "accounts.E002")
    elif context.deploy and not admin:
        yield Warning("no account has all permissions", hint, "accounts.W003")
    for name in names:
        message = f"{name} has the password of a demo account"
        yield Error(message, f"flask passwd {name}", "accounts.E004")
    yield Ok(f"{number}, {'with' if admin else 'without'} an admin")


def names_with_known_password():
    """Yield the names of the demo accounts that still have the password of development."""
    for name, password in demo_accounts(vars(DevelopmentConfig)):
        account = User.find(name)
        if account and verify_password(account.password_hash, password):
            yield account.username
