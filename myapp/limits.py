"""Rate limits: so many calls in a window, per account or, unknown, per address.

Counted in Redis, exactly, whatever number of processes there is. While Redis is away each
process counts for itself; it looks for Redis again every second.
"""

import time
from typing import NamedTuple

from flask import current_app, g, request
from limits import parse
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis.exceptions import RedisError

from .db import redis_store
from .problems import Problem

AWAY = 1.0  # seconds without another look after Redis has not answered


class Count(NamedTuple):
    """Where a caller stands: calls a window, calls left, and the epoch second of the
    next window."""

    limit: int
    remaining: int
    reset: int


class Counter:
    """Counts in Redis, or in this process while Redis is away."""

    def __init__(self, redis_url):
        shared = RedisStorage(
            redis_url.replace("unix:", "redis+unix:", 1),
            connection_pool=redis_store.connection_pool,
        )
        self._shared = FixedWindowRateLimiter(shared)
        self._alone = FixedWindowRateLimiter(MemoryStorage())
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
    app.extensions["limits"] = Counter(app.config["REDIS_URL"])
    if app.config["USE_RATE_LIMITS"]:
        app.extensions["rate"] = parse(app.config["RATE_LIMIT"])
        app.before_request(_count_strangers)
        app.after_request(_tell)


def count(account=None):
    """Count this request for an account, or for its address. Raises 429 over the limit."""
    rate = current_app.extensions.get("rate")
    if rate is None or "count" in g:
        return
    who = f"account:{account.id}" if account else f"address:{request.remote_addr}"

    def hit(limiter):
        within = limiter.hit(rate, who)
        stats = limiter.get_window_stats(rate, who)
        return within, Count(rate.amount, stats.remaining, int(stats.reset_time))

    within, g.count = current_app.extensions["limits"].use(hit)
    if not within:
        wait = max(1, g.count.reset - int(time.time()))
        raise Problem(429, headers={"Retry-After": str(wait)})


def _count_strangers():
    view = getattr(current_app.view_functions.get(request.endpoint), "view_class", None)
    method = "get" if request.method == "HEAD" else request.method.lower()
    if not hasattr(getattr(view, method, None), "guarded"):
        count()


def _tell(response):
    if "count" in g:
        response.headers["X-RateLimit-Limit"] = g.count.limit
        response.headers["X-RateLimit-Remaining"] = g.count.remaining
        response.headers["X-RateLimit-Reset"] = g.count.reset
    return response
