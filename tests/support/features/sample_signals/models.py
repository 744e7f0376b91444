"""A signal: a record in Redis below the id of a gadget, which expires."""

from myapp.core import (
    ID,
    RedisModel,
    boolean,
    date_time,
    integer,
    optional,
    request_schema,
    text,
)

ADDRESS = {
    "type": "string",
    "description": "IPv4 or IPv6.",
    "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}],
    "maxLength": 45,
    "examples": ["192.0.2.17"],
}


class SampleSignal(RedisModel):
    """The last reading of a gadget."""

    keyspace = "sample_signals"
    scopes = ((), ("owner_id",))
    lifetime_seconds = 300

    write_schema = request_schema(
        "SampleSignalWrite",
        battery=optional(integer(0, 100, "Percent.", 87)),
        strength=optional(integer(-120, 0, "In dBm.", -61)),
        firmware=optional(text(1, 64, "The firmware's version.", "1.4.2")),
        address=optional(ADDRESS),
    )
    read_only = {
        "gadget_id": ID,
        "online": boolean("Always true."),
        "sent_at": date_time("When it came."),
        "expires_at": date_time("When it expires."),
    }

    online = True
    gadget_id = property(lambda self: self.id)
    sent_at = property(lambda self: self.updated_at)

    @classmethod
    def ttl(cls):
        return cls.lifetime_seconds
