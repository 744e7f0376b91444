"""`/status/`: liveness and readiness, without authentication."""

import time

from ..core import (
    NO_STORE,
    FeatureApi,
    Resource,
    check_database,
    check_migrations,
    check_redis,
    check_worker,
    public,
    responds_with,
)
from ..version import __version__
from .models import liveness, readiness

START_SECONDS = time.monotonic()

status = FeatureApi("status", "Liveness and readiness.", at_root=True)


@status.route("/")
class Liveness(Resource):
    @public
    @responds_with(liveness, headers=NO_STORE)
    def get(self):
        """Report that the service is running."""
        uptime = round(time.monotonic() - START_SECONDS, 3)
        return {"online": True, "uptime": uptime, "version": __version__}


@status.route("/ready")
class Readiness(Resource):
    @public
    @responds_with(readiness, 200, 503, headers=NO_STORE)
    def get(self):
        """Report the state of each dependency."""
        parts = {
            "database": check_database(),
            "migrations": check_migrations(),
            "redis": check_redis(),
        }
        ready = set(parts.values()) == {"ok"}
        # Without a worker only tasks wait, so the service is ready nevertheless.
        return {**parts, "worker": check_worker()}, 200 if ready else 503
