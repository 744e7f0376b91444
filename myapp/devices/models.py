"""Devices, and their counts."""

import orjson
from blinker import Signal
from sqlalchemy import Column

from ..core import (
    TIMESTAMP,
    Owned,
    SqlModel,
    dumps,
    request_schema,
    response_schema,
    sql,
    text,
)

COUNTS_SCHEMA = {
    "type": "object",
    "additionalProperties": {"type": "integer", "minimum": 1},
}
summary = response_schema(
    "DeviceSummary",
    total={"type": "integer", "minimum": 0, "description": "The number of devices."},
    by_type={**COUNTS_SCHEMA, "description": "The number of devices of each type."},
    by_location={
        **COUNTS_SCHEMA,
        "description": "The number of devices in each location.",
    },
    online={
        "type": ["integer", "null"],
        "minimum": 0,
        "description": "The number of online devices; null if Redis is unavailable.",
    },
)

# A feature that knows which devices are online connects to this signal.
online_count_requested = Signal()


def count_online(scope):
    """Return the number of online devices, or None if no feature knows it.

    `scope`: conditions, as `Device.readable` returns them.
    """
    replies = online_count_requested.send(scope=scope)
    return replies[0][1] if replies else None


class Device(Owned, SqlModel):
    """A smart device in a home."""

    __tablename__ = "devices"

    write_schema = request_schema(
        "DeviceWrite",
        name=text(1, 64, "The name of the device.", "Kitchen Thermostat"),
        location=text(1, 64, "The place of the device.", "Kitchen"),
        type=text(1, 64, "The type of the device.", "Thermostat"),
        model=text(1, 64, "Vendor and model.", "Acova TAFFETAS2"),
        serial_number=text(1, 64, "The serial number of the vendor.", "ACOV-09494"),
    )
    sortable = ("id", "name", "type", "location", "created_at", "updated_at")

    last_seen_at = Column(TIMESTAMP)  # the last heartbeat that has been written back

    @classmethod
    def record_heartbeats(cls, ids, seen_at):
        """Store the time of a heartbeat of each device, unless a later one is stored.

        Return the number of updated devices; their `updated_at` stays.
        """
        new = cls.last_seen_at.is_(None) | (cls.last_seen_at < seen_at)
        statement = sql.update(cls).where(cls.id.in_(ids), new)
        values = {"last_seen_at": seen_at, "updated_at": cls.updated_at}
        return sql.session.execute(statement.values(values)).rowcount

    @classmethod
    def report(cls, record):
        """Return the device as text, with a line for each property."""
        shown = orjson.loads(dumps(cls.as_json(record)))  # formats times
        width = max(map(len, shown))
        return "".join(
            f"{name:<{width}}  {' '.join(str(value).splitlines())}\n"
            for name, value in shown.items()
        )
