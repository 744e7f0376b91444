"""A heartbeat: the last sign of life of a device, gone when the next one fails to come."""

from flask import current_app
from redis.exceptions import RedisError
from sqlalchemy import event


from ..devices.models import Device, counting_online
from ..db import Changed
from ..model import ID, RedisModel
from ..schema import flag, integer, moment, optional, text, writing

ADDRESS = {
    "type": "string",
    "description": "IPv4 or IPv6.",
    "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}],
    "maxLength": 45,
    "examples": ["192.0.2.17"],
}


class Presence(RedisModel):
    """That a device is online, and its last reading."""

    keyspace = "presence"
    scopes = ((), ("owner_id",))

    write_schema = writing(
        "Heartbeat",
        battery=optional(integer(0, 100, "Percent.", 87)),
        signal=optional(integer(-120, 0, "Strength in dBm.", -61)),
        firmware=optional(text(1, 64, "The firmware's version.", "1.4.2")),
        address=optional(ADDRESS),
    )
    read_only = {
        "device_id": ID,
        "online": flag("Always true: what is offline is not here."),
        "last_seen": moment("When the last heartbeat came."),
        "expires_at": moment("Until when it counts as online."),
    }

    online = True  # what is not online any more is not here any more
    device_id = property(lambda self: self.id)
    last_seen = property(lambda self: self.updated_at)

    @classmethod
    def ttl(cls):
        return current_app.config["PRESENCE_TTL"]


@event.listens_for(Device, "after_delete")
def forget(_mapper, _connection, device):
    """A device that is gone is not online; where Redis is down, its heartbeat dies by
    itself."""
    try:
        found = Presence.get(device.id)
        if found:
            found.delete()
    except (Changed, RedisError):
        current_app.logger.warning("The heartbeat of device %d stays.", device.id)


@counting_online.connect
def count_online(_sender, scope):
    """How many devices of a scope are online; None while Redis is away."""
    try:
        return Presence.count(**scope)
    except RedisError:
        return None
