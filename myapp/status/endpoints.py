"""`/status/`: open to all, and cheap."""

import time

from ..core import (
    NO_STORE,
    FeatureApi,
    Resource,
    check_database,
    check_migrations,
    check_redis,
    check_worker,
    responds_with,
)
from ..version import __version__
from .models import liveness, readiness

STARTED = time.monotonic()

status = FeatureApi("status", "Is the service there, and can it work?", at_root=True)


@status.route("/")
class Liveness(Resource):
    @responds_with(liveness, headers=NO_STORE)
    def get(self):
        """Tell that the service is there."""
        uptime = round(time.monotonic() - STARTED, 3)
        return {"online": True, "uptime": uptime, "version": __version__}


@status.route("/ready")
class Readiness(Resource):
    @responds_with(readiness, 200, 503, headers=NO_STORE)
    def get(self):
        """Tell whether each part that the service needs does its work."""
        parts = {
            "database": check_database(),
            "migrations": check_migrations(),
            "redis": check_redis(),
        }
        ready = set(parts.values()) == {"ok"}
        # Without a worker its tasks wait, and all else goes on: no reason to be shut out.
        return {**parts, "worker": check_worker()}, 200 if ready else 503
