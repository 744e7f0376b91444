"""RedisModel: a model in Redis, whose records expire."""

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self

import orjson
from flask import g

from ...errors import NotFound
from ...schema.parsing import TIME_PARSERS
from ...schema.serialization import dumps
from ..redis import redis_store
from ..session import RetryTransaction
from .columns import now
from .conditions import normalize_for_search
from .pages import Page, PageResult
from .schema_model import SchemaModel

IDEMPOTENCY_SECONDS = 24 * 3600  # seconds for which an Idempotency-Key is stored
# seconds for which an index keeps expired ids, for a late sweep
INDEX_RETENTION_SECONDS = 3600


class RedisModel(SchemaModel):
    """A model in Redis: records that live for `ttl()` seconds after their last change.

    A record is a JSON string under its id. For each scope in `scopes` there is an index: a
    sorted set of ids by the second in which they expire, so that expired ids can be removed
    at any time without a race. Every change removes those that expired more than
    INDEX_RETENTION_SECONDS seconds ago; reads skip the others.

    `keyspace`: the prefix of the keys. `scopes`: tuples of names, as `("owner_id",)`.
    """

    keyspace: ClassVar[str]
    scopes: ClassVar[tuple[tuple[str, ...], ...]] = ((),)
    _stored_fields: ClassVar[set[str]]

    id: int
    version: int
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    _stored: bytes

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.collection = cls.keyspace
        cls.derive_schemas()
        cls._stored_fields = {"id", "version", "created_at", "updated_at", "expires_at"}
        cls._stored_fields.update(cls.write_schema["properties"], *cls.scopes)

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    @classmethod
    def ttl(cls) -> int:
        """Return the seconds after which a record expires."""
        raise NotImplementedError

    @classmethod
    def get(cls, id: int, **scope: Any) -> Self | None:
        """Return a record, or None."""
        return cls._from_json(redis_store.get(cls._key(id)), scope)

    @classmethod
    def get_or_404(cls, id: int, **scope: Any) -> Self:
        """Return a record. Raises NotFound."""
        record = cls.get(id, **scope)
        if record is None:
            raise NotFound
        return record

    @classmethod
    def lock_or_404(cls, id: int, **scope: Any) -> Self:
        """Return a record to change. Raises NotFound.

        There is no lock: a change succeeds only if the record is still as it was read.
        """
        return cls.get_or_404(id, **scope)

    @classmethod
    def create(cls, **values: Any) -> Self:
        """Create a record. Without an `id` among the values, it gets the next one.

        Raises RetryTransaction if a record with this id exists, and Invalid if `validate`
        yields a fault.
        """
        cls.check_rules(values)
        stored = b""
        if "id" not in values:
            values["id"], stored = cls._next_id()
        record = cls(created_at=now(), **values)
        record._stored = stored
        return record._store()

    @classmethod
    def _next_id(cls) -> tuple[int, bytes]:
        """Return the id of a new record, and the bytes that are stored under it.

        There are some if an earlier request with the same Idempotency-Key did not end.
        """
        key, once = cls._key("last"), g.get("idempotency_digest")
        if once is None:
            return redis_store.incr(key), b""
        id = redis_store.eval(
            NEXT_ID, 2, key, cls._key(f"once:{once}"), IDEMPOTENCY_SECONDS
        )
        stored: Any = redis_store.get(cls._key(id))
        return id, stored or b""

    def update(self, **values: Any) -> Self:
        """Change this record. Raises RetryTransaction if it has changed since it was
        read."""
        self.check_change(values)
        self.__dict__.update(values)
        return self._store()

    def delete(self) -> None:
        """Delete this record. Raises RetryTransaction if it has changed since it was
        read."""
        self._compare_and_set(b"")

    @classmethod
    def page(cls, page: Page, **scope: Any) -> PageResult[Self]:
        """Return the records of a page, within a scope."""
        ids = cls._live_ids(scope)
        if page.filters or page.search:
            ids = [
                record.id
                for record in cls._load_many(ids)
                if cls._matches(record, page)
            ]
        total = None if page.count == "none" else len(ids)
        downwards = page.sort[0][1] is not page.backward
        if page.cursor and page.cursor.values is not None:
            place = page.cursor.values[0]
            ids = [id for id in ids if (id < place if downwards else id > place)]
        ids = (ids[::-1] if downwards else ids)[page.offset :]
        records = cls._load_many(ids[: page.limit])
        if page.backward:
            records.reverse()
        return PageResult(records, len(ids) > page.limit, total, total is not None)

    def search_text(self) -> str:
        """Return the text that `q` searches."""
        return normalize_for_search(
            *(getattr(self, name) for name in self.search_fields)
        )

    @classmethod
    def _matches(cls, record: Self, page: Page) -> bool:
        return normalize_for_search(page.search) in record.search_text() and all(
            getattr(record, name) == value for name, value in page.filters.items()
        )

    @classmethod
    def _key(cls, id: int | str) -> str:
        # A Redis Cluster hashes the part in braces: all keys of a model are on one node,
        # because a record and its indexes change in one step.
        return f"{{{cls.keyspace}}}:{id}"

    @classmethod
    def _index(cls, scope: Mapping[str, Any]) -> str:
        names = "".join(f":{name}={value}" for name, value in sorted(scope.items()))
        return f"{{{cls.keyspace}}}:index{names}"

    @classmethod
    def count(cls, **scope: Any) -> int:
        """Return the number of records in a scope."""
        return redis_store.zcount(cls._index(scope), *cls._live_range())

    @classmethod
    def _live_range(cls) -> tuple[str, str]:
        """Return the range of an index with the ids that have not expired."""
        return f"({int(time.time())}", "+inf"

    @classmethod
    def _live_ids(cls, scope: Mapping[str, Any]) -> list[int]:
        """Return the ids in a scope, in order."""
        ids: Any = redis_store.zrangebyscore(cls._index(scope), *cls._live_range())
        return sorted(map(int, ids))

    @classmethod
    def _load_many(cls, ids: Iterable[int]) -> list[Self]:
        if not ids:
            return []
        stored = redis_store.mget([cls._key(id) for id in ids])
        return [record for text in stored if (record := cls._from_json(text, {}))]

    @classmethod
    def _from_json(cls, stored: Any, scope: Mapping[str, Any]) -> Self | None:
        if stored is None:
            return None
        record = cls(**orjson.loads(stored))
        record._stored = stored
        for name, schema in cls.read_schema["properties"].items():
            if schema.get("format") in TIME_PARSERS and name in record.__dict__:
                value = record.__dict__[name]
                record.__dict__[name] = value and TIME_PARSERS[schema["format"]](value)
        fits = all(getattr(record, name) == value for name, value in scope.items())
        return record if fits else None

    def _store(self) -> Self:
        self.version = time.time_ns()  # different for each state
        self.updated_at = now()
        self.expires_at = self.updated_at + timedelta(seconds=self.ttl())
        self._stored = self._compare_and_set(
            dumps({n: getattr(self, n) for n in self._stored_fields})
        )
        return self

    def _compare_and_set(self, new: bytes) -> bytes:
        """Store `new` if the record is still as it was read, in one step; b"" deletes it.

        Raises RetryTransaction if it is not.
        """
        keys = [self._key(self.id)]
        for names in self.scopes:
            keys.append(self._index({name: getattr(self, name) for name in names}))
        expires = int(self.expires_at.replace(tzinfo=UTC).timestamp())
        times = expires, int(time.time()), INDEX_RETENTION_SECONDS
        values = self._stored, new, self.id, *times
        if not redis_store.eval(COMPARE_AND_SET, len(keys), *keys, *values):
            raise RetryTransaction
        return new


# Returns the next id; the same one for the same KEYS[2], for ARGV[1] seconds.
NEXT_ID = """
local known = redis.call('GET', KEYS[2])
if known then return tonumber(known) end
local id = redis.call('INCR', KEYS[1])
redis.call('SET', KEYS[2], id, 'EX', ARGV[1])
return id
"""
COMPARE_AND_SET = """
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
