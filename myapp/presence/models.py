"""A heartbeat: the last sign of life of a device, gone when the next one fails to come."""

from flask import current_app
from redis.exceptions import RedisError
from sqlalchemy import event

from ..core import (
    ID,
    Changed,
    RedisModel,
    flag,
    integer,
    moment,
    optional,
    redis_store,
    text,
    writing,
)
from ..devices.models import Device, counting_online

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

    @classmethod
    def swept(cls):
        """The second until which it is told which devices fell silent."""
        return int(redis_store.get(cls._key("swept")) or 0)

    @classmethod
    def expiring(cls, after, until):
        """The ids of those that expire, or have, in these seconds: pairs of a second and
        a list, in order. Whatever changes meanwhile expires later, and so comes later.
        """
        index = cls._index({})
        first = {"start": 0, "num": 1, "withscores": True}
        while found := redis_store.zrangebyscore(index, after + 1, until, **first):
            after = int(found[0][1])
            yield after, list(map(int, redis_store.zrangebyscore(index, after, after)))

    @classmethod
    def fell_silent(cls, until):
        """How many have expired until that second, and have not been told of yet."""
        keys = cls._key("swept"), cls._index({})
        return redis_store.eval(FELL_SILENT, len(keys), *keys, until)


# In one step, so that of two sweeps at once each tells of others.
FELL_SILENT = """
local swept, until_ = tonumber(redis.call('GET', KEYS[1]) or 0), tonumber(ARGV[1])
if until_ <= swept then return 0 end
redis.call('SET', KEYS[1], until_)
return redis.call('ZCOUNT', KEYS[2], swept + 1, until_)
"""


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
