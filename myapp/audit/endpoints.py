"""`{prefix}/audit/`: the audit trail, for those who may do everything with accounts."""

from ..core import FeatureApi, Resource, paginated, requires, responds_with
from .models import AuditLine

audit = FeatureApi("audit", "Who signed in, and who changed what others may do.")


@audit.route("/")
class AuditTrail(Resource):
    @requires("users:write", "roles:write")
    @paginated(AuditLine)
    def get(self, page):
        """List what happened to accounts."""
        return AuditLine.page(page)


@audit.route("/<int:id>")
class OneLine(Resource):
    @requires("users:write", "roles:write")
    @responds_with(AuditLine)
    def get(self, id):
        """Read one line of the audit trail."""
        return AuditLine.get_or_404(id)
