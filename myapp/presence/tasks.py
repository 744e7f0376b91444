"""The task that writes the times of heartbeats to the SQL database."""

import time
from datetime import UTC, datetime

from prometheus_client import Counter

from ..core import periodic_task, unit_of_work
from ..devices.models import Device
from .models import Presence

BATCH_ROWS = 1000  # in a transaction

silent_counter = Counter(
    "devices_fell_silent_total",
    "Heartbeats that expired, without those of devices that went offline.",
)


@periodic_task(minutes=1)
def write_back():
    """Store when each device was last seen, and count expired heartbeats."""
    now, ttl, seen = int(time.time()), Presence.ttl(), 0
    for second, ids in Presence.expiring(Presence.swept_until(), now + ttl):
        seen_at = datetime.fromtimestamp(second - ttl, UTC).replace(tzinfo=None)
        for start in range(0, len(ids), BATCH_ROWS):
            with unit_of_work():
                seen += Device.record_heartbeats(
                    ids[start : start + BATCH_ROWS], seen_at
                )
    silent = Presence.expired_since(now)
    silent_counter.inc(silent)
    if seen or silent:
        return f"{seen} devices seen, {silent} fell silent"
