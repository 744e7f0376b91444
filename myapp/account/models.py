"""My own account: a user, seen by itself."""

from ..core import (
    Body,
    Described,
    Invalid,
    collection_url,
    fault,
    guard,
    optional,
    text,
    writing,
)
from ..users.models import PASSWORD, USERNAME, User


class Account(Described):
    """A user as it sees itself, at an address that needs no id."""

    write_schema = writing(
        "AccountWrite",
        username={**USERNAME, "examples": ["head.gardener"]},
        password=optional(PASSWORD),
        current_password=optional(
            text(1, 1024, "Needed for a new password.", "correct horse battery")
        ),
    )
    read_schema = {**User.read_schema, "title": "Account"}
    body = Body(write_schema)

    @classmethod
    def as_json(cls, record):
        return {**User.as_json(record), "url": collection_url("account")}

    @classmethod
    def change(cls, user, username, password, current_password):
        """Change one's own name or password. Raises 422 where the current one is wrong."""
        if password and not guard().confirm(user, current_password or ""):
            wrong = fault("/current_password", "is not the current password")
            raise Invalid(errors=[wrong])
        return user.update(
            username, password=password, role=user.role, status=user.status
        )
