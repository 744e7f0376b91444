"""An account: a name, and the hash of a password."""

from sqlalchemy import Column, String

from ..guard import Account, hasher
from ..model import SqlModel, sql
from ..schema import writing

USERNAME = {
    "type": "string",
    "minLength": 3,
    "maxLength": 64,
    "pattern": "^[A-Za-z0-9_.-]*$",
    "description": "Unique without regard to case.",
    "examples": ["pythonista"],
}


class User(SqlModel):
    """Somebody who may sign in."""

    __tablename__ = "users"

    write_schema = writing("UserWrite", username=USERNAME)

    # What makes a name unique: the name in lower case.
    name_key = Column(String(64), nullable=False, unique=True)
    password_hash = Column(String(255), nullable=False)

    @classmethod
    def register(cls, username, password):
        """A new account; the password goes in, its argon2id hash stays."""
        return cls.create(
            username=username,
            name_key=username.lower(),
            password_hash=hasher.hash(password),
        )

    @classmethod
    def find(cls, username):
        """The account of that name in any case, or None."""
        return sql.session.scalar(
            sql.select(cls).where(cls.name_key == username.lower())
        )


def look_up(id=None, username=None):
    """What the guard knows of an account, by its id or its name; None if there is none."""
    if username is not None and "\0" in username:
        return None
    statement = sql.select(User.id, User.username, User.password_hash)
    if id is not None:
        statement = statement.where(User.id == id)
    else:
        statement = statement.where(User.name_key == username.lower())
    row = sql.session.execute(statement).first()
    return row and Account(*row)
