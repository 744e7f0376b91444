"""Heartbeats of devices, which expire unless they are renewed."""

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
    "description": "An IPv4 or IPv6 address.",
    "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}],
    "maxLength": 45,
    "examples": ["192.0.2.17"],
}


class Presence(RedisModel):
    """The last heartbeat of an online device."""

    keyspace = "presence"
    scopes = ((), ("owner_id",))

    write_schema = request_schema(
        "Heartbeat",
        battery=optional(integer(0, 100, "The charge in percent.", 87)),
        signal=optional(integer(-120, 0, "The signal strength in dBm.", -61)),
        firmware=optional(text(1, 64, "The version of the firmware.", "1.4.2")),
        address=optional(ADDRESS),
    )
    read_only = {
        "device_id": ID,
        "online": boolean("Always true: the collection holds only online devices."),
        "last_seen": date_time("When the last heartbeat was received."),
        "expires_at": date_time("When the device counts as offline."),
    }

    online = True  # the record of an offline device has expired
    device_id = property(lambda self: self.id)
    last_seen = property(lambda self: self.updated_at)

    @classmethod
    def ttl(cls):
        """Return the seconds until a heartbeat expires."""
        return current_app.config["PRESENCE_TTL"]

    @classmethod
    def swept_until(cls):
        """Return the second up to which expired heartbeats have been counted."""
        return int(redis_store.get(cls._key("swept")) or 0)

    @classmethod
    def expiring(cls, after, until):
        """Yield each second in which heartbeats expire, and their ids, in order.

        `after`, `until`: the seconds, without and with the bound. A heartbeat that is
        renewed meanwhile expires later, and is yielded later.
        """
        index = cls._index({})
        first = {"start": 0, "num": 1, "withscores": True}
        while rows := redis_store.zrangebyscore(index, after + 1, until, **first):
            after = int(rows[0][1])
            yield after, list(map(int, redis_store.zrangebyscore(index, after, after)))

    @classmethod
    def expired_since(cls, until):
        """Return the number of heartbeats that have expired and were not counted yet."""
        keys = cls._key("swept"), cls._index({})
        return redis_store.eval(COUNT_EXPIRED, len(keys), *keys, until)


# In one step, so that two concurrent tasks do not count the same heartbeat.
COUNT_EXPIRED = """
local swept, until_ = tonumber(redis.call('GET', KEYS[1]) or 0), tonumber(ARGV[1])
if until_ <= swept then return 0 end
redis.call('SET', KEYS[1], until_)
return redis.call('ZCOUNT', KEYS[2], swept + 1, until_)
"""


@event.listens_for(Device, "after_delete")
def delete_heartbeat(_mapper, _connection, device):
    """Delete the heartbeat of a deleted device; without Redis it expires."""
    try:
        heartbeat = Presence.get(device.id)
        if heartbeat:
            heartbeat.delete()
    except (RetryTransaction, RedisError):
        current_app.logger.warning(
            "The heartbeat of the deleted device %d will expire.", device.id
        )


@online_count_requested.connect
def answer_online_count(_sender, scope):
    """Return the number of online devices in a scope, or None if Redis is unavailable."""
    try:
        return Presence.count(**scope)
    except RedisError:
        return None
