"""The checks of accounts for `flask doctor`."""

from default_config import DevelopmentConfig

from ..core import (
    check,
    error,
    error_in_production,
    is_production,
    sql,
    unit_of_work,
    verify_password,
    warning,
)
from ..roles.models import Role, has_admin
from .commands import demo_accounts
from .models import User


@check(after="migrations")
def accounts(config):
    """Check that an admin can sign in, and that no account has a well-known password."""
    hint = "flask adduser NAME --role admin"
    with unit_of_work(writes=False):
        has_roles, admin = Role.by_title("admin") is not None, has_admin()
        number = sql.session.scalar(
            sql.select(sql.func.count(User.id)).where(User.deleted_at.is_(None))
        )
        names = list(names_with_known_password()) if is_production(config) else []
    if not has_roles:
        yield error("the built-in roles are missing", "flask deploy")
    elif not number:
        yield error_in_production(config, "there is no account", hint)
    elif is_production(config) and not admin:
        yield warning("no account has all permissions", hint)
    for name in names:
        yield error(
            f"{name} has the password of a demo account", f"flask passwd {name}"
        )
    return f"{number}, {'with' if admin else 'without'} an admin"


def names_with_known_password():
    """Yield the names of the demo accounts that still have the password of development."""
    for name, password in demo_accounts(vars(DevelopmentConfig)):
        account = User.find(name)
        if account and verify_password(account.password_hash, password):
            yield account.username
