"""Roles: a title and permissions."""

from contextlib import contextmanager
from itertools import chain

from sqlalchemy import Column, String

from ..core import (
    PERMISSIONS,
    Conflict,
    Forbidden,
    SqlModel,
    ValueTaken,
    boolean,
    request_schema,
    sql,
    text,
)


def builtin_roles():
    """Return the permissions of each built-in role, by its title."""
    return {
        "user": [],
        "manager": [name for name in PERMISSIONS if name.endswith(":read_all")],
        "admin": list(PERMISSIONS),
    }


class DefaultRole(Conflict):
    """This is the default role."""

    problem = "default-role"


class LastAdmin(Conflict):
    """At least one account must have all permissions."""

    problem = "last-admin"


class Role(SqlModel):
    """A named bundle of permissions; each account has one."""

    __tablename__ = "roles"

    write_schema = request_schema(
        "RoleWrite",
        title=text(1, 64, "Unique without regard to case.", "auditor"),
        default=boolean(
            "True for the role of new accounts; exactly one role is the default.",
            default=False,
        ),
        permissions={
            "type": "array",
            "items": {
                "title": "Permission",
                "type": "string",
                "enum": PERMISSIONS,
            },
            "uniqueItems": True,
            "description": "The permissions of the accounts with this role.",
            "examples": [["users:read"]],
        },
    )
    sortable = ("id", "title")

    # Case folding can turn one character into three.
    title_key = Column(String(192), nullable=False, unique=True)

    @classmethod
    def create(cls, **values):
        return super().create(**cls._checked_values(values, None))

    def update(self, **values):
        if self.default and not values.get("default", True):
            raise DefaultRole("Make another role the default instead.")
        return super().update(**self._checked_values(values, self))

    def delete(self):
        if self.default:
            raise DefaultRole
        super().delete()  # the database refuses if an account has it

    @classmethod
    def _checked_values(cls, values, current):
        key = values["title"].casefold()
        existing = cls.by_title(values["title"])
        if existing and existing is not current:
            raise ValueTaken("The title is taken.")
        if values.get("default"):
            for role in sql.session.scalars(sql.select(cls).where(cls.default)):
                role.default = role is current
        permissions = sorted(values["permissions"], key=PERMISSIONS.index)
        return {**values, "title_key": key, "permissions": permissions}

    @classmethod
    def by_title(cls, title):
        """Return the role with this title in any case, or None."""
        return sql.session.scalar(
            sql.select(cls).where(cls.title_key == title.casefold())
        )

    @classmethod
    def default_role(cls):
        """Return the role that a new account gets."""
        return sql.session.scalars(sql.select(cls).where(cls.default)).one()

    @classmethod
    def ensure_builtin_roles(cls):
        """Create the built-in roles, and update the permissions of all roles.

        A permission that `admin` lacks is new, and each built-in role that it belongs to
        gets it. A permission that no feature declares any more is removed from all roles.
        """
        for each in sql.session.scalars(sql.select(cls)):
            declared = [name for name in each.permissions if name in PERMISSIONS]
            if declared != each.permissions:
                each.permissions = declared
        admin = cls.by_title("admin")
        new = set(PERMISSIONS).difference(admin.permissions) if admin else ()
        for title, permissions in builtin_roles().items():
            role = cls.by_title(title)
            if not role:
                default = title == "user"
                cls.create(title=title, default=default, permissions=permissions)
            elif more := [name for name in permissions if name in new]:
                role.permissions = [*role.permissions, *more]


def require_own_permissions(caller, *bundles):
    """Raise 403 unless the caller has every permission in these bundles.

    An account can grant only its own permissions, and change only accounts with no more.
    """
    if not caller.permissions.issuperset(chain(*bundles)):
        raise Forbidden("You can only grant or change permissions that you have.")


# `users` imports this module, so importing its model here would be circular.
accounts = sql.table(
    "users", sql.column("role_id"), sql.column("status"), sql.column("deleted_at")
)


@contextmanager
def last_admin_guard():
    """Raise 409 if no account has all permissions after the changes inside.

    Concurrent changes wait. It must come first in its transaction, so that two admins
    cannot remove each other.
    """
    sql.session.execute(sql.select(Role.id).order_by(Role.id).with_for_update())
    before = has_admin()
    yield
    sql.session.flush()
    if before and not has_admin():
        raise LastAdmin


def has_admin():
    """Return whether an active account has all permissions."""
    rows = sql.session.execute(sql.select(Role.id, Role.permissions))
    full = [id for id, permissions in rows if set(permissions) >= set(PERMISSIONS)]
    admins = sql.select(accounts.c.role_id).where(
        accounts.c.role_id.in_(full),
        accounts.c.status == "normal",
        accounts.c.deleted_at.is_(None),
    )
    return sql.session.execute(admins.limit(1)).first() is not None
