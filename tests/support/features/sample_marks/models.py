"""A mark: a number that an account keeps for a minute."""

from myapp.core import (
    PermissionScoped,
    RedisModel,
    date_time,
    integer,
    optional,
    request_schema,
    text,
)


class SampleMark(PermissionScoped, RedisModel):
    """A number that expires."""

    keyspace = "sample_marks"
    scopes = ((), ("owner_id",))

    write_schema = request_schema(
        "SampleMarkWrite",
        points=integer(0, 100, "The number.", 87),
        remark=optional(text(1, 64, "Why.", "Well done")),
    )
    read_only = {"expires_at": date_time("When it expires.")}

    @classmethod
    def ttl(cls):
        return 60
