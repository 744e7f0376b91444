"""The representation of a user at `account`."""

from ..core import (
    BodyValidator,
    Invalid,
    SchemaModel,
    authenticator,
    collection_url,
    fault,
    optional,
    request_schema,
    text,
)
from ..users.models import PASSWORD, USERNAME, User


class Account(SchemaModel):
    """The account of the caller, whose URL has no id."""

    write_schema = request_schema(
        "AccountWrite",
        username={**USERNAME, "examples": ["head.gardener"]},
        password=optional(PASSWORD),
        current_password=optional(
            text(1, 1024, "Required to change the password.", "correct horse battery")
        ),
    )
    read_schema = {**User.read_schema, "title": "Account"}
    body = BodyValidator(write_schema)

    @classmethod
    def as_json(cls, record):
        return {**User.as_json(record), "url": collection_url("account")}

    @classmethod
    def change(cls, user, username, password, current_password):
        """Change username or password. Raises 422 if `current_password` is wrong."""
        if password and not authenticator().confirm_password(
            user, current_password or ""
        ):
            error = fault("/current_password", "This is not the current password.")
            raise Invalid(errors=[error])
        return user.update(
            username, password=password, role=user.role, status=user.status
        )
