"""`{prefix}/roles/`: roles and their permissions."""

from flask import g

from ..core import (
    FeatureApi,
    Resource,
    accepts,
    accepts_patch,
    apply_merge_patch,
    check_preconditions,
    clear_account_cache,
    emit_security_event,
    error_responses,
    idempotent,
    paginated,
    requires,
    responds_no_content,
    responds_with,
)
from .models import Role, last_admin_guard, require_own_permissions

REASONS = {
    403: "You can only grant or change permissions that you have.",
    409: "The title is taken, the role is in use, or it is required.",
}

roles = FeatureApi(
    "roles",
    "Roles and their permissions.",
    permissions=("roles:read", "roles:write"),
)


@roles.route("/")
class Roles(Resource):
    @requires("roles:read")
    @paginated(Role)
    def get(self, page):
        """List the roles."""
        return Role.page(page)

    @requires("roles:write")
    @error_responses(REASONS)
    @idempotent
    @accepts(Role)
    @responds_with(Role, 201)
    def post(self, body):
        """Add a role."""
        require_own_permissions(g.caller, body["permissions"])
        with last_admin_guard():  # also serializes two new default roles
            emit_security_event("role added", g.caller.id, role=body["title"])
            return Role.create(**body)


@roles.route("/<int:id>")
class OneRole(Resource):
    @requires("roles:read")
    @responds_with(Role)
    def get(self, id):
        """Read a role."""
        return Role.get_or_404(id)

    @requires("roles:write")
    @error_responses(REASONS)
    @accepts(Role)
    @responds_with(Role)
    def put(self, id, body):
        """Replace a role."""
        return change(id, lambda role: body)

    @requires("roles:write")
    @error_responses(REASONS)
    @accepts_patch(Role)
    @responds_with(Role)
    def patch(self, id, patch):
        """Change some properties of a role."""
        return change(id, lambda role: apply_merge_patch(role, patch))

    @requires("roles:write")
    @error_responses(REASONS)
    @responds_no_content
    def delete(self, id):
        """Delete a role that no account has."""
        with last_admin_guard():
            role = Role.lock_or_404(id)
            check_preconditions(role)
            require_own_permissions(g.caller, role.permissions)
            emit_security_event("role removed", g.caller.id, role=role.title)
            role.delete()


def change(id, body_for):
    """Update a role with the body that `body_for(role)` returns, if the caller may."""
    with last_admin_guard():
        role = Role.lock_or_404(id)
        check_preconditions(role)
        body = body_for(role)
        require_own_permissions(g.caller, role.permissions, body["permissions"])
        clear_account_cache()
        emit_security_event("role edited", g.caller.id, role=role.title)
        return role.update(**body)
