"""What Redis knows for a while, written back to where it stays."""

import time
from datetime import UTC, datetime

from prometheus_client import Counter

from ..core import every, unit_of_work
from ..devices.models import Device
from .models import Presence

BATCH_ROWS = 1000  # in one unit of work

fell_silent = Counter(
    "devices_fell_silent_total",
    "Devices whose next heartbeat did not come, and that had not signed off.",
)


@every(minutes=1)
def write_back():
    """Remember when each device was last seen; count those that fell silent."""
    now, ttl, seen = int(time.time()), Presence.ttl(), 0
    for second, ids in Presence.expiring(Presence.swept(), now + ttl):
        moment = datetime.fromtimestamp(second - ttl, UTC).replace(tzinfo=None)
        for start in range(0, len(ids), BATCH_ROWS):
            with unit_of_work():
                seen += Device.seen(ids[start : start + BATCH_ROWS], moment)
    silent = Presence.fell_silent(now)
    fell_silent.inc(silent)
    if seen or silent:
        return f"{seen} devices seen, {silent} fell silent"
