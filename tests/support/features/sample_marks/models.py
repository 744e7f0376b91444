"""A mark: a number that an account keeps for a minute."""

from myapp.core import Governed, RedisModel, integer, moment, optional, text, writing


class SampleMark(Governed, RedisModel):
    """A number that expires."""

    keyspace = "sample_marks"
    scopes = ((), ("owner_id",))

    write_schema = writing(
        "SampleMarkWrite",
        points=integer(0, 100, "The number.", 87),
        remark=optional(text(1, 64, "Why.", "Well done")),
    )
    read_only = {"expires_at": moment("When it expires.")}

    @classmethod
    def ttl(cls):
        return 60
