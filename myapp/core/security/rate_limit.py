"""Rate limits: so many calls in a window, per account or, unknown, per address.

Counted in Redis, exactly, whatever number of processes there is. While Redis is away each
process counts for itself; it looks for Redis again every second. What is open to all can
be read without being counted, since health checks, scrapers and browsers do.
"""

import time
from ipaddress import ip_address, ip_network
from math import ceil
from typing import NamedTuple

from flask import current_app, g, request
from limits import parse
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis.exceptions import RedisError

from ..data.redis import redis_store
from ..errors import Problem

AWAY = 1.0  # seconds without another look after Redis has not answered
SAFE = ("GET", "HEAD", "OPTIONS")


class Count(NamedTuple):
    """Calls in this window so far, and the epoch second in which the next one begins."""

    used: int
    reset: int


# Counts calls in a window that the first of them begins; no call only looks.
COUNT = """
local used = tonumber(redis.call('GET', KEYS[1]) or 0)
if ARGV[1] ~= '0' then
  used = redis.call('INCRBY', KEYS[1], ARGV[1])
  if used == tonumber(ARGV[1]) then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
end
return {used, redis.call('PTTL', KEYS[1])}
"""


class Shared(RedisStorage):
    """The library's storage, on the client that everything here uses."""

    def get_connection(self, readonly=False):
        return redis_store

    def counted(self, key, seconds, calls):
        """The Count of a key, with so many calls more, in windows of so many seconds."""
        used, left = redis_store.eval(COUNT, 1, key, calls, seconds)
        return Count(used, ceil(time.time() + max(0, left) / 1000))


class Alone(MemoryStorage):
    """The library's storage in this process."""

    def counted(self, key, seconds, calls):
        used = self.incr(key, seconds, calls) if calls else self.get(key)
        return Count(used, ceil(self.get_expiry(key)))


class Counter:
    """Counts in Redis, or in this process while Redis is away."""

    def __init__(self):
        self._shared = FixedWindowRateLimiter(Shared("redis://"))
        self._alone = FixedWindowRateLimiter(Alone())
        self._back_at = 0.0

    def use(self, work):
        """What `work` makes of the limiter to count with."""
        if time.monotonic() >= self._back_at:
            try:
                return work(self._shared)
            except RedisError:
                self._back_at = time.monotonic() + AWAY
        return work(self._alone)


def init_app(app):
    """Limit `app` where USE_RATE_LIMITS says so; what no guard counts, counts here."""
    app.extensions["limits"] = Counter()
    if app.config["USE_RATE_LIMITS"]:
        app.extensions["rate"] = parse(app.config["RATE_LIMIT"])
        app.before_request(_count_strangers)
        app.after_request(_tell)


def count(account=None):
    """Count this request for an account, or for its address. Raises 429 over the limit."""
    rate = current_app.extensions.get("rate")
    if rate is None or "count" in g:
        return
    g.count = counted(rate, account, 1)
    if g.count.used > rate.amount:
        wait = max(1, g.count.reset - int(time.time()))
        raise Problem(429, headers={"Retry-After": str(wait)})


def counted(rate, account, calls):
    """The Count of an account, or of this request's address, with so many calls more."""
    who = (
        f"account:{account.id}" if account else f"address:{subnet(request.remote_addr)}"
    )
    key = rate.key_for(who)

    def count(limiter):
        return limiter.storage.counted(key, rate.get_expiry(), calls)

    return current_app.extensions["limits"].use(count)


def subnet(address):
    """An IPv4 address, or the /64 that one IPv6 household has for itself."""
    try:
        if ip_address(address).version == 6:
            return str(ip_network(f"{address}/64", strict=False))
    except ValueError:
        pass
    return str(address)


def _count_strangers():
    asked = request._get_current_object()
    if asked.method in SAFE:
        return
    view = getattr(current_app.view_functions.get(asked.endpoint), "view_class", None)
    if not hasattr(getattr(view, asked.method.lower(), None), "guarded"):
        count()


def _tell(response):
    rate = current_app.extensions["rate"]
    count = g.get("count") or counted(rate, None, 0)
    response.headers["X-RateLimit-Limit"] = rate.amount
    response.headers["X-RateLimit-Remaining"] = max(0, rate.amount - count.used)
    response.headers["X-RateLimit-Reset"] = count.reset
    return response
