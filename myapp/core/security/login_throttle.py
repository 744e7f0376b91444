"""Slow down password guessing, per account and per address.

Failures are counted in fixed windows, by all processes together in Redis, or by each alone
while Redis is unavailable. An attacker with many addresses cannot lock a user out: for an
address from which the account has logged in recently, failures elsewhere do not count.
"""

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.strategies import FixedWindowRateLimiter
from redis.exceptions import RedisError

from ..data.redis import redis_store
from ..errors import Problem
from .rate_limit import RateCounter, subnet

T = TypeVar("T")

# The failures allowed per window: of a username from an address, of all usernames from an
# address, and of a username from all addresses.
NAME_AND_ADDRESS_LIMIT = RateLimitItemPerMinute(5, namespace="login-one")
ADDRESS_LIMIT = RateLimitItemPerMinute(30, namespace="login-address")
NAME_LIMIT = RateLimitItemPerMinute(20, 10, namespace="login-name")
# seconds for which an address is known to an account
KNOWN_ADDRESS_SECONDS = 30 * 24 * 60 * 60


class LoginThrottle:
    """The failed logins of one application."""

    def __init__(self, counter: RateCounter) -> None:
        self._counter = counter

    def check(self, username: str, address: str | None) -> None:
        """Raise 429 after too many failures."""
        address = subnet(address)
        wait = self._use(self._wait, username.lower(), address)
        if wait:
            raise Problem(
                429,
                "Too many failed login attempts. Try again later.",
                headers={"Retry-After": str(wait)},
            )

    def record_failure(self, username: str, address: str | None) -> None:
        """Count a failure."""
        self._use(self._hit, username.lower(), subnet(address))

    def record_success(self, username: str, address: str | None) -> None:
        """Remember the address as known to the account."""
        try:
            redis_store.set(
                known_address_key(username, subnet(address)),
                1,
                ex=KNOWN_ADDRESS_SECONDS,
            )
        except RedisError:
            pass  # failures from other addresses may then count for this one, too

    def _use(
        self,
        count: Callable[[FixedWindowRateLimiter, str, str, bool], T],
        username: str,
        address: str,
    ) -> T:
        try:
            is_known = bool(redis_store.exists(known_address_key(username, address)))
        except RedisError:
            is_known = False
        return self._counter.use(
            lambda limiter: count(limiter, username, address, is_known)
        )

    def _wait(
        self,
        limiter: FixedWindowRateLimiter,
        username: str,
        address: str,
        known: bool,
    ) -> int:
        """Return the seconds until the next attempt is allowed."""
        waits = [
            limiter.get_window_stats(item, *key).reset_time - time.time()
            for item, key in applicable_limits(username, address, known)
            if not limiter.test(item, *key)
        ]
        return max(1, round(max(waits))) if waits else 0

    def _hit(
        self,
        limiter: FixedWindowRateLimiter,
        username: str,
        address: str,
        known: bool,
    ) -> None:
        for item, key in applicable_limits(username, address, known):
            limiter.hit(item, *key)


def applicable_limits(
    username: str, address: str, known: bool
) -> Iterator[tuple[RateLimitItem, tuple[str, ...]]]:
    """Yield the limits that an attempt counts towards, each with its key."""
    yield NAME_AND_ADDRESS_LIMIT, (username, address)
    yield ADDRESS_LIMIT, (address,)
    if not known:
        yield NAME_LIMIT, (username,)


def known_address_key(username: str, address: str) -> str:
    """Return the Redis key that marks an address as known to an account."""
    return f"familiar:{username.lower()}:{address}"
