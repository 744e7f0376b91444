"""`{prefix}/audit/`: the audit trail, for administrators of accounts and roles."""

from ..core import FeatureApi, Resource, paginated, requires, responds_with
from .models import AuditLine

audit = FeatureApi("audit", "Sign-ins, and changes of accounts and permissions.")


@audit.route("/")
class AuditTrail(Resource):
    @requires("users:write", "roles:write")
    @paginated(AuditLine)
    def get(self, page):
        """List the audit trail."""
        return AuditLine.page(page)


@audit.route("/<int:id>")
class OneLine(Resource):
    @requires("users:write", "roles:write")
    @responds_with(AuditLine)
    def get(self, id):
        """Read a line of the audit trail."""
        return AuditLine.get_or_404(id)
