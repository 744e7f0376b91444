"""A device: what it is, where it stands, whose it is."""

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
    total={"type": "integer", "minimum": 0, "description": "Devices in all."},
    by_type={**COUNTS_SCHEMA, "description": "Devices of each type."},
    by_location={**COUNTS_SCHEMA, "description": "Devices in each location."},
    online={
        "type": ["integer", "null"],
        "minimum": 0,
        "description": "Devices that are online; null where Redis is away.",
    },
)

# Who can tell how many devices of a scope are online connects here.
online_count_requested = Signal()


def count_online(scope):
    """How many devices of a scope are online; None where nobody can tell."""
    replies = online_count_requested.send(scope=scope)
    return replies[0][1] if replies else None


class Device(Owned, SqlModel):
    """A smart device in somebody's home."""

    __tablename__ = "devices"

    write_schema = request_schema(
        "DeviceWrite",
        name=text(1, 64, "What its owner calls it.", "Kitchen Thermostat"),
        location=text(1, 64, "Where it stands.", "Kitchen"),
        type=text(1, 64, "What kind of thing it is.", "Thermostat"),
        model=text(1, 64, "Vendor and model.", "Acova TAFFETAS2"),
        serial_number=text(1, 64, "What the vendor calls it.", "ACOV-09494"),
    )
    sortable = ("id", "name", "type", "location", "created_at", "updated_at")

    last_seen_at = Column(TIMESTAMP)  # its last heartbeat that a sweep came upon

    @classmethod
    def record_heartbeats(cls, ids, seen_at):
        """Remember a heartbeat of each of these, if it is the last one that is known;
        returns of how many it is. That is not a change of the device."""
        new = cls.last_seen_at.is_(None) | (cls.last_seen_at < seen_at)
        statement = sql.update(cls).where(cls.id.in_(ids), new)
        values = {"last_seen_at": seen_at, "updated_at": cls.updated_at}
        return sql.session.execute(statement.values(values)).rowcount

    @classmethod
    def report(cls, record):
        """The device as text, a line for each property."""
        shown = orjson.loads(dumps(cls.as_json(record)))  # times as everywhere
        width = max(map(len, shown))
        return "".join(
            f"{name:<{width}}  {' '.join(str(value).splitlines())}\n"
            for name, value in shown.items()
        )
