"""`{prefix}/users/`: accounts, for those permitted."""

from flask import g

from ..core import (
    FeatureApi,
    Resource,
    accepts,
    accepts_patch,
    answers,
    answers_nothing,
    idempotent,
    merged,
    must_match,
    paged,
    refuses,
    requires,
    writing,
)
from ..roles.models import Role, an_admin_stays, must_hold
from .models import PASSWORD, User, role_entitled

REASONS = {
    403: "It takes permissions that you do not have yourself.",
    409: "The username is taken, or nobody would be left who may do everything.",
}

users = FeatureApi(
    "users",
    "Accounts, for those who look after them.",
    permissions=("users:read", "users:write"),
)

new_user = writing(
    "NewUser",
    **{
        **User.write_schema["properties"],
        "role": {
            **User.write_schema["properties"]["role"],
            "description": "A role's title; left out, the default.",
        },
        "password": PASSWORD,
    },
)


@users.route("/")
class Users(Resource):
    @requires("users:read")
    @paged(User)
    def get(self, page):
        """List the accounts."""
        return User.page(page, **User.existing)

    @requires("users:write")
    @refuses(REASONS)
    @idempotent
    @accepts(new_user)
    @answers(User, 201)
    def post(self, body):
        """Add an account."""
        role = role_entitled(body["role"]) if body["role"] else Role.of_newcomers()
        must_hold(g.caller, role.permissions)
        return User.create(**body)


@users.route("/<int:id>")
class OneUser(Resource):
    @requires("users:read")
    @answers(User)
    def get(self, id):
        """Read an account."""
        return User.get_or_404(id, **User.existing)

    @requires("users:write")
    @refuses(REASONS)
    @accepts(User)
    @answers(User)
    def put(self, id, body):
        """Replace an account; a password or a role that is left out stays."""
        return change(id, lambda found: body)

    @requires("users:write")
    @refuses(REASONS)
    @accepts_patch(User)
    @answers(User)
    def patch(self, id, patch):
        """Change some properties of an account: block it, give it a role."""
        return change(id, lambda found: merged(found, patch))

    @requires("users:write")
    @refuses(REASONS)
    @answers_nothing
    def delete(self, id):
        """Delete an account."""
        with an_admin_stays():
            found = User.lock_or_404(id, **User.existing)
            must_match(found)
            must_hold(g.caller, Role.get_or_404(found.role_id).permissions)
            found.delete()


def change(id, body_for):
    """Give the account the body that `body_for` makes of it, if the caller may."""
    with an_admin_stays():
        found = User.lock_or_404(id, **User.existing)
        must_match(found)
        body = body_for(found)
        role = role_entitled(body["role"] or found.role)
        now = Role.get_or_404(found.role_id)
        must_hold(g.caller, now.permissions, role.permissions)
        return found.update(**body)
