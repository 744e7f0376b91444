"""RedisModel: a model in Redis, whose records expire."""

import time
from datetime import UTC, timedelta

import orjson
from flask import g

from ...errors import NotFound
from ...schema.parsing import TIMES
from ...schema.serialization import dumps
from ..redis import redis_store
from ..session import Changed
from .columns import now
from .conditions import folded
from .pages import Found
from .schema_model import Described

ONCE = 24 * 3600  # seconds for which an Idempotency-Key is known
REMEMBERED = 3600  # seconds for which an index knows what has expired, for a late sweep


class RedisModel(Described):
    """A model in Redis: records that live for `ttl()` seconds after their last change.

    A record is a string of JSON below its id. Beside it stands an index for each scope in
    `scopes`: a sorted set of ids, by the second in which they expire, so that what has
    expired can be dropped from it at any time without a race. Every change does so with
    what expired more than REMEMBERED seconds ago; whoever reads passes over the rest.
    """

    scopes = ((),)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.collection = cls.keyspace
        cls.describe()
        cls._kept = {"id", "version", "created_at", "updated_at", "expires_at"}
        cls._kept.update(cls.write_schema["properties"], *cls.scopes)

    def __init__(self, **values):
        self.__dict__.update(values)

    @classmethod
    def ttl(cls):
        """Seconds that a record lives."""
        raise NotImplementedError

    @classmethod
    def get(cls, id, **scope):
        """The record, or None."""
        return cls._loaded(redis_store.get(cls._key(id)), scope)

    @classmethod
    def get_or_404(cls, id, **scope):
        record = cls.get(id, **scope)
        if record is None:
            raise NotFound
        return record

    # Nothing is held: a change goes through only if the record is still as it was read.
    lock_or_404 = get_or_404

    @classmethod
    def create(cls, **values):
        """A new record; without an `id` among the values it gets the next one."""
        stored = b""
        if "id" not in values:
            values["id"], stored = cls._next()
        record = cls(created_at=now(), **values)
        record._stored = stored
        return record._store()

    @classmethod
    def _next(cls):
        """The id of a new record, and what stands there: something where a request that
        came before with the same Idempotency-Key died before its end."""
        key, once = cls._key("last"), g.get("once")
        if once is None:
            return redis_store.incr(key), b""
        id = redis_store.eval(NEXT, 2, key, cls._key(f"once:{once}"), ONCE)
        return id, redis_store.get(cls._key(id)) or b""

    def update(self, **values):
        self.__dict__.update(values)
        return self._store()

    def delete(self):
        self._swap(b"")

    @classmethod
    def page(cls, page, **scope):
        ids = cls._living(scope)
        if page.filters or page.words:
            ids = [record.id for record in cls._load(ids) if cls._fits(record, page)]
        total = None if page.count == "none" else len(ids)
        downwards = page.sort[0][1] is not page.backward
        if page.place and page.place.values is not None:
            place = page.place.values[0]
            ids = [id for id in ids if (id < place if downwards else id > place)]
        ids = (ids[::-1] if downwards else ids)[page.offset :]
        records = cls._load(ids[: page.limit])
        if page.backward:
            records.reverse()
        return Found(records, len(ids) > page.limit, total, total is not None)

    def searchable(self):
        """The text that `q` looks through."""
        return folded(*(getattr(self, name) for name in self.texts))

    @classmethod
    def _fits(cls, record, page):
        return folded(page.words) in record.searchable() and all(
            getattr(record, name) == value for name, value in page.filters.items()
        )

    @classmethod
    def _key(cls, id):
        # In braces is what a Redis Cluster goes by: all keys of a model in one place, for
        # a record and its indexes change in one step.
        return f"{{{cls.keyspace}}}:{id}"

    @classmethod
    def _index(cls, scope):
        names = "".join(f":{name}={value}" for name, value in sorted(scope.items()))
        return f"{{{cls.keyspace}}}:index{names}"

    @classmethod
    def count(cls, **scope):
        """How many records of a scope there are."""
        return redis_store.zcount(cls._index(scope), *cls._from_now())

    @classmethod
    def _from_now(cls):
        """What is still to expire, as a range of an index."""
        return f"({int(time.time())}", "+inf"

    @classmethod
    def _living(cls, scope):
        """The ids in a scope, in order."""
        ids = redis_store.zrangebyscore(cls._index(scope), *cls._from_now())
        return sorted(map(int, ids))

    @classmethod
    def _load(cls, ids):
        if not ids:
            return []
        stored = redis_store.mget([cls._key(id) for id in ids])
        return [record for text in stored if (record := cls._loaded(text, {}))]

    @classmethod
    def _loaded(cls, stored, scope):
        if stored is None:
            return None
        record = cls(**orjson.loads(stored))
        record._stored = stored
        for name, schema in cls.read_schema["properties"].items():
            if schema.get("format") in TIMES and name in record.__dict__:
                value = record.__dict__[name]
                record.__dict__[name] = value and TIMES[schema["format"]](value)
        fits = all(getattr(record, name) == value for name, value in scope.items())
        return record if fits else None

    def _store(self):
        self.version = time.time_ns()  # no two states are alike
        self.updated_at = now()
        self.expires_at = self.updated_at + timedelta(seconds=self.ttl())
        self._stored = self._swap(dumps({n: getattr(self, n) for n in self._kept}))
        return self

    def _swap(self, new):
        """Put `new` in the place of what was read, in one step; b"" is nothing.

        Raises Changed where something else stands there by now.
        """
        keys = [self._key(self.id)]
        for names in self.scopes:
            keys.append(self._index({name: getattr(self, name) for name in names}))
        expires = int(self.expires_at.replace(tzinfo=UTC).timestamp())
        times = expires, int(time.time()), REMEMBERED
        values = self._stored, new, self.id, *times
        if not redis_store.eval(SWAP, len(keys), *keys, *values):
            raise Changed
        return new


# The next id; for the same KEYS[2] the same again, for ARGV[1] seconds.
NEXT = """
local known = redis.call('GET', KEYS[2])
if known then return tonumber(known) end
local id = redis.call('INCR', KEYS[1])
redis.call('SET', KEYS[2], id, 'EX', ARGV[1])
return id
"""
SWAP = """
local key, read, new, id, expires, now, remembered = KEYS[1], unpack(ARGV)
if (redis.call('GET', key) or '') ~= read then return 0 end
if new == '' then redis.call('DEL', key)
else redis.call('SET', key, new, 'EXAT', expires) end
for i = 2, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now - remembered)
  if new == '' then redis.call('ZREM', KEYS[i], id)
  else
    redis.call('ZADD', KEYS[i], expires, id)
    local last = redis.call('ZRANGE', KEYS[i], -1, -1, 'WITHSCORES')
    redis.call('EXPIREAT', KEYS[i], last[2] + remembered)
  end
end
return 1
"""
