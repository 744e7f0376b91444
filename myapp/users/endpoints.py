"""`{prefix}/users/`: accounts, for administrators."""

from flask import g

from ..core import (
    FeatureApi,
    Resource,
    accepts,
    accepts_patch,
    apply_merge_patch,
    check_preconditions,
    error_responses,
    idempotent,
    paginated,
    request_schema,
    requires,
    responds_no_content,
    responds_with,
)
from ..roles.models import Role, last_admin_guard, require_own_permissions
from .models import PASSWORD, User, require_role

REASONS = {
    403: "You can only grant or change permissions that you have.",
    409: "The username is taken, or this is the last account with all permissions.",
}

users = FeatureApi(
    "users",
    "Accounts, for administrators.",
    permissions=("users:read", "users:write"),
)

new_user = request_schema(
    "NewUser",
    **{
        **User.write_schema["properties"],
        "role": {
            **User.write_schema["properties"]["role"],
            "description": "The title of a role; by default the default role.",
        },
        "password": PASSWORD,
    },
)


@users.route("/")
class Users(Resource):
    @requires("users:read")
    @paginated(User)
    def get(self, page):
        """List the accounts."""
        return User.page(page, **User.not_deleted)

    @requires("users:write")
    @error_responses(REASONS)
    @idempotent
    @accepts(new_user)
    @responds_with(User, 201)
    def post(self, body):
        """Add an account."""
        role = require_role(body["role"]) if body["role"] else Role.default_role()
        require_own_permissions(g.caller, role.permissions)
        return User.create(**body)


@users.route("/<int:id>")
class OneUser(Resource):
    @requires("users:read")
    @responds_with(User)
    def get(self, id):
        """Read an account."""
        return User.get_or_404(id, **User.not_deleted)

    @requires("users:write")
    @error_responses(REASONS)
    @accepts(User)
    @responds_with(User)
    def put(self, id, body):
        """Replace an account; without a password or a role, they are kept."""
        return change(id, lambda user: body)

    @requires("users:write")
    @error_responses(REASONS)
    @accepts_patch(User)
    @responds_with(User)
    def patch(self, id, patch):
        """Change some properties of an account, for example block it."""
        return change(id, lambda user: apply_merge_patch(user, patch))

    @requires("users:write")
    @error_responses(REASONS)
    @responds_no_content
    def delete(self, id):
        """Delete an account."""
        with last_admin_guard():
            user = User.lock_or_404(id, **User.not_deleted)
            check_preconditions(user)
            require_own_permissions(g.caller, Role.get_or_404(user.role_id).permissions)
            user.delete()


def change(id, body_for):
    """Update an account with the body that `body_for(user)` returns, if the caller may."""
    with last_admin_guard():
        user = User.lock_or_404(id, **User.not_deleted)
        check_preconditions(user)
        body = body_for(user)
        role = require_role(body["role"] or user.role)
        current_role = Role.get_or_404(user.role_id)
        require_own_permissions(g.caller, current_role.permissions, role.permissions)
        return user.update(**body)
