"""What `flask doctor` checks of accounts."""

from default_config import DevelopmentConfig

from ..core import (
    advice,
    check,
    in_production,
    sql,
    unit_of_work,
    verified,
    wrong,
    wrong_in_production,
)
from ..roles.models import Role, has_admin
from .commands import demo_accounts
from .endpoints import users
from .models import User


@check(after="migrations")
def accounts(config):
    """Check that an admin can sign in, and that no account has a well-known password."""
    hint = "flask adduser NAME --role admin"
    with unit_of_work(writes=False):
        has_roles, admin = Role.entitled("admin") is not None, has_admin()
        number = sql.session.scalar(users.statistics["accounts"])
        names = list(with_known_password()) if in_production(config) else []
    if not has_roles:
        yield wrong("the built-in roles are not there", "flask deploy")
    elif not number:
        yield wrong_in_production(config, "there are none", hint)
    elif in_production(config) and not admin:
        yield advice("nobody may do everything", hint)
    for name in names:
        yield wrong(f"everybody knows the password of {name}", f"flask passwd {name}")
    return f"{number}, {'an admin is' if admin else 'no admin'} among them"


def with_known_password():
    """Yield the names of the demo accounts that still have the password of development."""
    for name, password in demo_accounts(vars(DevelopmentConfig)):
        account = User.find(name)
        if account and verified(account.password_hash, password):
            yield account.username
