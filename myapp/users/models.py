"""Accounts: a username, the hash of a password, a role."""

from sqlalchemy import Column, ForeignKey, Index, Integer, String
from sqlalchemy.orm import column_property

from ..core import (
    BIGINT_ID,
    TIMESTAMP,
    Account,
    Invalid,
    SqlModel,
    ValueTaken,
    clear_account_cache,
    compiled_query,
    date_time,
    emit_security_event,
    fault,
    hash_password,
    now,
    optional,
    request_schema,
    sql,
    text,
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
PASSWORD = text(8, 128, "Never shown.", "correct horse battery")


class User(SqlModel):
    """An account.

    A deleted account is hidden and later purged; its username is free at once.
    """

    __tablename__ = "users"

    write_schema = request_schema(
        "UserWrite",
        username=USERNAME,
        role=optional(
            text(1, 64, "The title of a role; if missing, it is kept.", "user")
        ),
        status={
            "type": "string",
            "enum": ["normal", "blocked"],
            "maxLength": 16,
            "default": "normal",
            "description": "A blocked account cannot sign in.",
            "examples": ["normal"],
        },
        password=optional(PASSWORD),
    )
    write_only = ("password",)
    read_only = {
        "last_login_at": optional(date_time("When the account last signed in.")),
        "last_login_ip": optional(
            text(1, 45, "The IP address of that sign-in.", "192.0.2.17")
        ),
    }
    search_fields = ("username",)
    sortable = ("id", "username", "created_at", "updated_at")
    not_deleted = {"deleted_at": None}

    # The username in lower case, for uniqueness; NULL once the account is deleted.
    name_key = Column(String(64), unique=True)
    password_hash = Column(String(255), nullable=False)
    # Incremented to end all sessions: by a new password, a block, a deletion.
    generation = Column(Integer, nullable=False, default=1)
    role_id = Column(BIGINT_ID, ForeignKey("roles.id"), nullable=False, index=True)
    role = column_property(
        sql.select(Role.title).where(Role.id == role_id).scalar_subquery()
    )
    last_login_at = Column(TIMESTAMP)
    last_login_ip = Column(String(45))
    deleted_at = Column(TIMESTAMP)

    @classmethod
    def create(cls, username, password, role=None, status="normal"):
        """Create an account; without a role, it gets the default one."""
        password_hash = hash_password(password)
        role = require_role(role) if role else Role.default_role()
        cls.require_free_name(username)
        record = super().create(
            username=username,
            name_key=username.lower(),
            password_hash=password_hash,
            role_id=role.id,
            role=role.title,
            status=status,
        )
        emit_security_event("account created", record.id, role=role.title)
        clear_account_cache()  # it may hold the absence of this name
        return record

    def update(self, username, password=None, role=None, status="normal"):
        """Change the account; without a password or a role, they are kept."""
        if username.lower() != self.name_key:
            self.require_free_name(username)
        if username != self.username:
            emit_security_event("renamed", self.id, was=self.username)
        if role and role.casefold() != self.role.casefold():
            role = require_role(role)
            emit_security_event("role changed", self.id, role=role.title)
            self.role_id = role.id
        if status != self.status:
            emit_security_event(
                "blocked" if status == "blocked" else "unblocked", self.id
            )
            self.generation += 1
        if password:
            emit_security_event("password changed", self.id)
            self.password_hash = hash_password(password)
            self.generation += 1
        clear_account_cache()
        super().update(username=username, name_key=username.lower(), status=status)
        sql.session.refresh(self, ["role"])
        return self

    def delete(self):
        """Hide the account, end its sessions and free its username."""
        emit_security_event("account deleted", self.id)
        clear_account_cache()
        self.generation += 1
        super().update(deleted_at=now(), name_key=None)

    @classmethod
    def find(cls, username):
        """Return the account with this name in any case, or None."""
        return sql.session.scalar(
            sql.select(cls).where(cls.name_key == username.lower())
        )

    @classmethod
    def require_free_name(cls, username):
        """Raise 409 if an account has this name."""
        if cls.find(username):
            raise ValueTaken("The username is taken.")

    @classmethod
    def record_sign_in(cls, account, address):
        """Store the time and the address of a sign-in, without changing `updated_at`."""
        values = {"last_login_at": now(), "last_login_ip": address}
        statement = sql.update(cls).where(cls.id == account.id)
        sql.session.execute(statement.values(**values, updated_at=cls.updated_at))
        emit_security_event("signed in", account.id, actor=account.username)


# A partial index: with a full one, databases would choose it to find accounts that are
# not deleted.
is_deleted = User.deleted_at.is_not(None)
Index(None, User.deleted_at, postgresql_where=is_deleted, sqlite_where=is_deleted)


def require_role(title):
    """Return the role with this title. Raises 422."""
    role = Role.by_title(title)
    if role is None:
        raise Invalid(errors=[fault("/role", "There is no role with this title.")])
    return role


def save_rehashed(id, before, password_hash):
    """Replace the password hash `before` by a stronger one of the same password.

    `updated_at` stays. Nothing happens if the password has been changed meanwhile.
    """
    statement = sql.update(User).where(User.id == id, User.password_hash == before)
    sql.session.execute(
        statement.values(password_hash=password_hash, updated_at=User.updated_at)
    )


ACCOUNT_COLUMNS = (
    User.id,
    User.username,
    User.password_hash,
    User.generation,
    Role.permissions,
)


def active_accounts():
    """Return the SELECT of the active accounts, with the columns of ACCOUNT_COLUMNS."""
    return (
        sql.select(*ACCOUNT_COLUMNS)
        .join(Role, Role.id == User.role_id)
        .where(User.status == "normal", User.deleted_at.is_(None))
    )


def account_by_username(username):
    """Return the active Account with this name in any case, or None."""
    # lower() turns the Kelvin sign into the letter k.
    if not username.isascii() or "\0" in username:
        return None
    return to_account(accounts_named(name=username.lower()))


@compiled_query
def accounts_named(name):
    return active_accounts().where(User.name_key == name)


def to_account(rows, session_id=None):
    """Return the Account of the first row of `active_accounts`, or None."""
    for *who, permissions in rows:
        return Account(*who, frozenset(permissions), session_id)
