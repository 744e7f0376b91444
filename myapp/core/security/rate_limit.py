"""Rate limits: a number of requests per window, counted per account.

Requests without a known account are counted per address. All processes count together, in
Redis. While Redis is unavailable, each process counts alone and tries Redis again every
second. Safe requests to public endpoints are not counted, because health checks, scrapers
and browsers send them.
"""

import time
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from flask import Flask, Response, current_app, g, request
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis.exceptions import RedisError

from ..data.redis import redis_store
from ..errors import Problem

if TYPE_CHECKING:
    from .authentication import Account

T = TypeVar("T")

FALLBACK_SECONDS = 1.0  # seconds until Redis is tried again after an error
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class WindowCount(NamedTuple):
    """The requests in the current window, and the epoch second in which the next begins."""

    used: int
    reset: int


# Adds ARGV[1] requests to a window of ARGV[2] seconds, which the first request opens.
COUNT_SCRIPT = """
local used = tonumber(redis.call('GET', KEYS[1]) or 0)
if ARGV[1] ~= '0' then
  used = redis.call('INCRBY', KEYS[1], ARGV[1])
  if used == tonumber(ARGV[1]) then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
end
return {used, redis.call('PTTL', KEYS[1])}
"""


class SharedStorage(RedisStorage):
    """The library's storage in Redis, with the client of this application."""

    def get_connection(self, readonly: bool = False) -> Any:
        return redis_store

    def count_calls(self, key: str, seconds: int, calls: int) -> WindowCount:
        """Add `calls` requests to a key's window of `seconds`, and return its count."""
        used, left = redis_store.eval(COUNT_SCRIPT, 1, key, calls, seconds)
        return WindowCount(used, ceil(time.time() + max(0, left) / 1000))


class LocalStorage(MemoryStorage):
    """The library's storage in this process."""

    def count_calls(self, key: str, seconds: int, calls: int) -> WindowCount:
        """Add `calls` requests to a key's window of `seconds`, and return its count."""
        used = self.incr(key, seconds, calls) if calls else self.get(key)
        return WindowCount(used, ceil(self.get_expiry(key)))


class Limiter(FixedWindowRateLimiter):
    """The library's fixed windows, on one of these storages."""

    storage: SharedStorage | LocalStorage


class RateCounter:
    """Counts in Redis, or in this process while Redis is unavailable."""

    def __init__(self) -> None:
        self._shared_limiter = Limiter(SharedStorage("redis://"))
        self._local_limiter = Limiter(LocalStorage())
        self._back_at = 0.0

    def use(self, work: Callable[[Limiter], T]) -> T:
        """Call `work` with the limiter to use, and return its result."""
        if time.monotonic() >= self._back_at:
            try:
                return work(self._shared_limiter)
            except RedisError:
                self._back_at = time.monotonic() + FALLBACK_SECONDS
        return work(self._local_limiter)


def init_app(app: Flask) -> None:
    """Limit the requests to `app` if USE_RATE_LIMITS is set."""
    app.extensions["rate_counter"] = RateCounter()
    if app.config["USE_RATE_LIMITS"]:
        app.extensions["rate_limit"] = parse(app.config["RATE_LIMIT"])
        app.before_request(_count_anonymous)
        app.after_request(_add_headers)


def count_call(account: "Account | None" = None) -> None:
    """Count this request once, for an account or for its address.

    Raises 429 over the limit.
    """
    rate = current_app.extensions.get("rate_limit")
    if rate is None or "count" in g:
        return
    g.count = count_calls_of(rate, account, 1)
    if g.count.used > rate.amount:
        wait = max(1, g.count.reset - int(time.time()))
        raise Problem(429, headers={"Retry-After": str(wait)})


def count_calls_of(
    rate: RateLimitItem, account: "Account | None", calls: int
) -> WindowCount:
    """Add `calls` requests to the WindowCount of an account, or of this request's
    address."""
    client = (
        f"account:{account.id}" if account else f"address:{subnet(request.remote_addr)}"
    )
    key = rate.key_for(client)

    def count(limiter: Limiter) -> WindowCount:
        return limiter.storage.count_calls(key, rate.get_expiry(), calls)

    return current_app.extensions["rate_counter"].use(count)


def subnet(address: str | None) -> str:
    """Return an IPv4 address, or the /64 network of an IPv6 address.

    A household has a whole /64 network, so its addresses count as one.
    """
    try:
        if ip_address(str(address)).version == 6:
            return str(ip_network(f"{address}/64", strict=False))
    except ValueError:
        pass
    return str(address)


def _count_anonymous() -> None:
    # Endpoints with `required_permissions` count themselves, when they know the account.
    if request.method in SAFE_METHODS:
        return
    view = getattr(
        current_app.view_functions.get(request.endpoint or ""), "view_class", None
    )
    if not hasattr(getattr(view, request.method.lower(), None), "required_permissions"):
        count_call()


def _add_headers(response: Response) -> Response:
    rate = current_app.extensions["rate_limit"]
    count = g.get("count") or count_calls_of(rate, None, 0)
    response.headers["X-RateLimit-Limit"] = rate.amount
    response.headers["X-RateLimit-Remaining"] = max(0, rate.amount - count.used)
    response.headers["X-RateLimit-Reset"] = count.reset
    return response
