"""A role: a title, and what those who have it may do."""

from contextlib import contextmanager
from itertools import chain

from sqlalchemy import Column, String

from ..core import (
    PERMISSIONS,
    Conflict,
    Forbidden,
    SqlModel,
    boolean,
    request_schema,
    sql,
    text,
)


def builtin_roles():
    """The permissions of each built-in role, by its title."""
    return {
        "user": [],
        "manager": [name for name in PERMISSIONS if name.endswith(":read_all")],
        "admin": list(PERMISSIONS),
    }


class Role(SqlModel):
    """A named bundle of permissions; each account has one."""

    __tablename__ = "roles"

    write_schema = request_schema(
        "RoleWrite",
        title=text(1, 64, "Unique without regard to case.", "auditor"),
        default=boolean("Whether newcomers get it; one role is it.", default=False),
        permissions={
            "type": "array",
            "items": {
                "title": "Permission",
                "type": "string",
                "enum": PERMISSIONS,
            },
            "uniqueItems": True,
            "description": "What those who have it may do.",
            "examples": [["users:read"]],
        },
    )
    sortable = ("id", "title")

    # Folding makes up to three characters of one.
    title_key = Column(String(192), nullable=False, unique=True)

    @classmethod
    def create(cls, **values):
        return super().create(**cls._checked_values(values, None))

    def update(self, **values):
        if self.default and not values.get("default", True):
            raise Conflict("Make another role the default instead.")
        return super().update(**self._checked_values(values, self))

    def delete(self):
        if self.default:
            raise Conflict("This is the default role.")
        super().delete()  # the database refuses where somebody has it

    @classmethod
    def _checked_values(cls, values, current):
        key = values["title"].casefold()
        taken = cls.by_title(values["title"])
        if taken and taken is not current:
            raise Conflict("There is a role of that title.")
        if values.get("default"):
            for role in sql.session.scalars(sql.select(cls).where(cls.default)):
                role.default = role is current
        permissions = sorted(values["permissions"], key=PERMISSIONS.index)
        return {**values, "title_key": key, "permissions": permissions}

    @classmethod
    def by_title(cls, title):
        """The role of that title in any case, or None."""
        return sql.session.scalar(
            sql.select(cls).where(cls.title_key == title.casefold())
        )

    @classmethod
    def default_role(cls):
        """The role that a new account gets."""
        return sql.session.scalars(sql.select(cls).where(cls.default)).one()

    @classmethod
    def ensure_builtin_roles(cls):
        """See to it that the three roles are there which everything relies on.

        A slice brings new permissions. `admin` holds all that there were, so what it lacks
        is new; each of the three gets of it what would be built in. A permission that no
        feature declares any more is removed from every role.
        """
        for each in sql.session.scalars(sql.select(cls)):
            known = [name for name in each.permissions if name in PERMISSIONS]
            if known != each.permissions:
                each.permissions = known
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
    """Go on only if the caller has every permission in these bundles: nobody gives what
    they lack, nor touches who may do more than they. Raises 403."""
    if not caller.permissions.issuperset(chain(*bundles)):
        raise Forbidden("This takes permissions that you do not have yourself.")


# What this needs to know of the accounts, whose slice knows this one.
accounts = sql.table(
    "users", sql.column("role_id"), sql.column("status"), sql.column("deleted_at")
)


@contextmanager
def last_admin_guard():
    """Change who may do what inside; whoever else does so waits. Raises 409 where nobody
    would be left who may do everything.

    It comes first in its transaction, so that two admins cannot each rely on the other.
    """
    sql.session.execute(sql.select(Role.id).order_by(Role.id).with_for_update())
    before = has_admin()
    yield
    sql.session.flush()
    if before and not has_admin():
        raise Conflict("Somebody must be left who may do everything.")


def has_admin():
    """Whether there is an account that may come in and do everything."""
    rows = sql.session.execute(sql.select(Role.id, Role.permissions))
    full = [id for id, permissions in rows if set(permissions) >= set(PERMISSIONS)]
    admins = sql.select(accounts.c.role_id).where(
        accounts.c.role_id.in_(full),
        accounts.c.status == "normal",
        accounts.c.deleted_at.is_(None),
    )
    return sql.session.execute(admins.limit(1)).first() is not None
