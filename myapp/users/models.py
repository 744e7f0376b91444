"""An account: a name, the hash of a password, a role."""

from sqlalchemy import Column, ForeignKey, Index, Integer, String
from sqlalchemy.orm import column_property

from ..core import (
    KEY,
    MOMENT,
    Account,
    Conflict,
    Invalid,
    SqlModel,
    fault,
    forget_accounts,
    hashed,
    moment,
    now,
    optional,
    prepared,
    sql,
    tell,
    text,
    writing,
)
from ..roles.models import Role

USERNAME = {
    "type": "string",
    "minLength": 3,
    "maxLength": 64,
    "pattern": "^[A-Za-z0-9_.-]+$",
    "description": "Unique without regard to case.",
    "examples": ["gardener"],
}
PASSWORD = text(8, 128, "Goes in, never out.", "correct horse battery")


class User(SqlModel):
    """An account.

    A deleted one is kept, out of sight; its name is free again.
    """

    __tablename__ = "users"

    write_schema = writing(
        "UserWrite",
        username=USERNAME,
        role=optional(text(1, 64, "A role's title; left out, it stays.", "user")),
        status={
            "type": "string",
            "enum": ["normal", "blocked"],
            "maxLength": 16,
            "default": "normal",
            "description": "Who is blocked cannot sign in.",
            "examples": ["normal"],
        },
        password=optional(PASSWORD),
    )
    write_only = ("password",)
    read_only = {
        "last_login_at": optional(moment("When it last signed in.")),
        "last_login_ip": optional(text(1, 45, "From where.", "192.0.2.17")),
    }
    texts = ("username",)
    sortable = ("id", "username", "created_at", "updated_at")
    existing = {"deleted_at": None}  # the scope of those that are not deleted

    # What makes a name unique: the name in lower case, or NULL once it is free again.
    name_key = Column(String(64), unique=True)
    password_hash = Column(String(255), nullable=False)
    # Goes up with whatever ends every session: a new password, a block.
    generation = Column(Integer, nullable=False, default=1)
    role_id = Column(KEY, ForeignKey("roles.id"), nullable=False, index=True)
    role = column_property(
        sql.select(Role.title).where(Role.id == role_id).scalar_subquery()
    )
    last_login_at = Column(MOMENT)
    last_login_ip = Column(String(45))
    deleted_at = Column(MOMENT)

    @classmethod
    def create(cls, username, password, role=None, status="normal"):
        """A new account; without a role, it gets the one of newcomers."""
        password_hash = hashed(password)
        role = role_entitled(role) if role else Role.of_newcomers()
        cls.must_be_free(username)
        record = super().create(
            username=username,
            name_key=username.lower(),
            password_hash=password_hash,
            role_id=role.id,
            role=role.title,
            status=status,
        )
        tell("account created", record.id, role=role.title)
        forget_accounts()  # somebody may have asked for that name just now
        return record

    def update(self, username, password=None, role=None, status="normal"):
        """Change it; without a password or a role, these stay."""
        if username.lower() != self.name_key:
            self.must_be_free(username)
        if username != self.username:
            tell("renamed", self.id, was=self.username)
        if role and role.casefold() != self.role.casefold():
            role = role_entitled(role)
            tell("role changed", self.id, role=role.title)
            self.role_id = role.id
        if status != self.status:
            tell("blocked" if status == "blocked" else "unblocked", self.id)
            self.generation += 1
        if password:
            tell("password changed", self.id)
            self.password_hash = hashed(password)
            self.generation += 1
        forget_accounts()
        super().update(username=username, name_key=username.lower(), status=status)
        sql.session.refresh(self, ["role"])
        return self

    def delete(self):
        """Put it out of sight, end its sessions, free its name."""
        tell("account deleted", self.id)
        forget_accounts()
        self.generation += 1
        super().update(deleted_at=now(), name_key=None)

    @classmethod
    def find(cls, username):
        """The account of that name in any case, or None."""
        return sql.session.scalar(
            sql.select(cls).where(cls.name_key == username.lower())
        )

    @classmethod
    def must_be_free(cls, username):
        """Go on only if nobody has the name. Raises 409."""
        if cls.find(username):
            raise Conflict("The username is taken.")

    @classmethod
    def signed_in(cls, account, address):
        """Remember a sign-in. That is not a change of the account."""
        values = {"last_login_at": now(), "last_login_ip": address}
        statement = sql.update(cls).where(cls.id == account.id)
        sql.session.execute(statement.values(**values, updated_at=cls.updated_at))
        tell("signed in", account.id, actor=account.username)


# Of few accounts: an index of all would be taken for one that finds who is not deleted.
deleted = User.deleted_at.is_not(None)
Index(None, User.deleted_at, postgresql_where=deleted, sqlite_where=deleted)


def role_entitled(title):
    """The role of that title. Raises 422."""
    role = Role.entitled(title)
    if role is None:
        raise Invalid(errors=[fault("/role", "there is no role of that title")])
    return role


def keep_hash(id, before, password_hash):
    """Keep another hash of the password that `before` is one of, if it is still the
    account's; that is not a change of the account."""
    statement = sql.update(User).where(User.id == id, User.password_hash == before)
    sql.session.execute(
        statement.values(password_hash=password_hash, updated_at=User.updated_at)
    )


WHO = (
    User.id,
    User.username,
    User.password_hash,
    User.generation,
    Role.permissions,
)


def may_come_in():
    """The statement that finds accounts that may, with what the guard wants to know."""
    return (
        sql.select(*WHO)
        .join(Role, Role.id == User.role_id)
        .where(User.status == "normal", User.deleted_at.is_(None))
    )


def look_up(username):
    """What the guard knows of the account of that name, in any case; None if none may
    come in by it."""
    if not username.isascii() or "\0" in username:  # a Kelvin sign in lower case is a k
        return None

    return account_of(accounts_named(name=username.lower()))


@prepared
def accounts_named(name):
    return may_come_in().where(User.name_key == name)


def account_of(rows, session_id=None):
    """What `may_come_in` has found, as the guard's Account; None for nothing."""
    for *who, permissions in rows:
        return Account(*who, frozenset(permissions), session_id)
