"""`{prefix}/roles/`: roles and their permissions."""

from flask import g

from ..core import (
    FeatureApi,
    Resource,
    accepts,
    accepts_patch,
    answers,
    answers_nothing,
    forget_accounts,
    idempotent,
    merged,
    must_match,
    paged,
    refuses,
    requires,
    tell,
)
from .models import Role, an_admin_stays, must_hold

REASONS = {
    403: "It takes permissions that you do not have yourself.",
    409: "The title is taken, somebody has the role, or somebody must have it.",
}

roles = FeatureApi(
    "roles",
    "Roles and their permissions.",
    permissions=("roles:read", "roles:write"),
)


@roles.route("/")
class Roles(Resource):
    @requires("roles:read")
    @paged(Role)
    def get(self, page):
        """List the roles."""
        return Role.page(page)

    @requires("roles:write")
    @refuses(REASONS)
    @idempotent
    @accepts(Role)
    @answers(Role, 201)
    def post(self, body):
        """Add a role."""
        must_hold(g.caller, body["permissions"])
        with an_admin_stays():  # of two new defaults one is the later
            tell("role added", g.caller.id, role=body["title"])
            return Role.create(**body)


@roles.route("/<int:id>")
class OneRole(Resource):
    @requires("roles:read")
    @answers(Role)
    def get(self, id):
        """Read a role."""
        return Role.get_or_404(id)

    @requires("roles:write")
    @refuses(REASONS)
    @accepts(Role)
    @answers(Role)
    def put(self, id, body):
        """Replace a role."""
        return change(id, lambda found: body)

    @requires("roles:write")
    @refuses(REASONS)
    @accepts_patch(Role)
    @answers(Role)
    def patch(self, id, patch):
        """Change some properties of a role."""
        return change(id, lambda found: merged(found, patch))

    @requires("roles:write")
    @refuses(REASONS)
    @answers_nothing
    def delete(self, id):
        """Remove a role that nobody has."""
        with an_admin_stays():
            found = Role.lock_or_404(id)
            must_match(found)
            must_hold(g.caller, found.permissions)
            tell("role removed", g.caller.id, role=found.title)
            found.delete()


def change(id, body_for):
    """Give the role the body that `body_for` makes of it, if the caller may."""
    with an_admin_stays():
        found = Role.lock_or_404(id)
        must_match(found)
        body = body_for(found)
        must_hold(g.caller, found.permissions, body["permissions"])
        forget_accounts()
        tell("role edited", g.caller.id, role=found.title)
        return found.update(**body)
