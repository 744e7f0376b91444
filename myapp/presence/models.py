"""A heartbeat: the last sign of life of a device, gone when the next one fails to come."""

from flask import current_app
from redis.exceptions import RedisError
from sqlalchemy import event

from ..core import (
    ID,
    RedisModel,
    RetryTransaction,
    boolean,
    date_time,
    integer,
    optional,
    redis_store,
    request_schema,
    text,
)
from ..devices.models import Device, online_count_requested

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

    write_schema = request_schema(
        "Heartbeat",
        battery=optional(integer(0, 100, "Percent.", 87)),
        signal=optional(integer(-120, 0, "Strength in dBm.", -61)),
        firmware=optional(text(1, 64, "The firmware's version.", "1.4.2")),
        address=optional(ADDRESS),
    )
    read_only = {
        "device_id": ID,
        "online": boolean("Always true: what is offline is not here."),
        "last_seen": date_time("When the last heartbeat came."),
        "expires_at": date_time("Until when it counts as online."),
    }

    online = True  # what is not online any more is not here any more
    device_id = property(lambda self: self.id)
    last_seen = property(lambda self: self.updated_at)

    @classmethod
    def ttl(cls):
        return current_app.config["PRESENCE_TTL"]

    @classmethod
    def swept_until(cls):
        """The second until which it is told which devices fell silent."""
        return int(redis_store.get(cls._key("swept")) or 0)

    @classmethod
    def expiring(cls, after, until):
        """The ids of those that expire, or have, in these seconds: pairs of a second and
        a list, in order. Whatever changes meanwhile expires later, and so comes later.
        """
        index = cls._index({})
        first = {"start": 0, "num": 1, "withscores": True}
        while rows := redis_store.zrangebyscore(index, after + 1, until, **first):
            after = int(rows[0][1])
            yield after, list(map(int, redis_store.zrangebyscore(index, after, after)))

    @classmethod
    def expired_since(cls, until):
        """How many have expired until that second, and have not been told of yet."""
        keys = cls._key("swept"), cls._index({})
        return redis_store.eval(COUNT_EXPIRED, len(keys), *keys, until)


# In one step, so that of two sweeps at once each tells of others.
COUNT_EXPIRED = """
local swept, until_ = tonumber(redis.call('GET', KEYS[1]) or 0), tonumber(ARGV[1])
if until_ <= swept then return 0 end
redis.call('SET', KEYS[1], until_)
return redis.call('ZCOUNT', KEYS[2], swept + 1, until_)
"""


@event.listens_for(Device, "after_delete")
def delete_heartbeat(_mapper, _connection, device):
    """A device that is gone is not online; where Redis is down, its heartbeat dies by
    itself."""
    try:
        heartbeat = Presence.get(device.id)
        if heartbeat:
            heartbeat.delete()
    except (RetryTransaction, RedisError):
        current_app.logger.warning("The heartbeat of device %d stays.", device.id)


@online_count_requested.connect
def answer_online_count(_sender, scope):
    """How many devices of a scope are online; None while Redis is away."""
    try:
        return Presence.count(**scope)
    except RedisError:
        return None
