"""Guessing passwords gets slow, per account and per address.

Failures are counted in fixed windows, in Redis, so that all processes count together; in
the process alone while Redis is away. A stranger who fails on somebody's name from
everywhere does not lock them out: where an account has signed in from lately, only
failures from that very address count.
"""

import time

from limits import RateLimitItemPerMinute
from redis.exceptions import RedisError

from ..data.redis import redis_store
from ..errors import Problem
from .rate_limit import subnet

FROM_ONE = RateLimitItemPerMinute(
    5, namespace="login-one"
)  # on a name, from an address
FROM_ADDRESS = RateLimitItemPerMinute(30, namespace="login-address")  # on all names
ON_NAME = RateLimitItemPerMinute(20, 10, namespace="login-name")  # from all addresses
FAMILIAR = 30 * 24 * 60 * 60  # seconds for which an address is known to an account


class Slowdown:
    """The counts of failures of one application."""

    def __init__(self, counter):
        self._counter = counter

    def check(self, username, address):
        """Raise 429 where there have been too many failures to try once more."""
        address = subnet(address)
        wait = self._counted(self._wait, username.lower(), address)
        if wait:
            raise Problem(
                429,
                "Too many wrong passwords. Wait a little.",
                headers={"Retry-After": str(wait)},
            )

    def failed(self, username, address):
        """Count a failure."""
        self._counted(self._hit, username.lower(), subnet(address))

    def succeeded(self, username, address):
        """Remember that this account signs in from there."""
        try:
            redis_store.set(familiar(username, subnet(address)), 1, ex=FAMILIAR)
        except RedisError:
            pass  # a stranger's failures may then slow this address down, too

    def _counted(self, count, username, address):
        try:
            known = redis_store.exists(familiar(username, address))
        except RedisError:
            known = False
        return self._counter.use(
            lambda limiter: count(limiter, username, address, known)
        )

    def _wait(self, limiter, username, address, known):
        """Seconds until another try, 0 for now."""
        waits = [
            limiter.get_window_stats(item, *key).reset_time - time.time()
            for item, key in counts(username, address, known)
            if not limiter.test(item, *key)
        ]
        return max(1, round(max(waits))) if waits else 0

    def _hit(self, limiter, username, address, known):
        for item, key in counts(username, address, known):
            limiter.hit(item, *key)


def counts(username, address, known):
    """What a try counts towards."""
    yield FROM_ONE, (username, address)
    yield FROM_ADDRESS, (address,)
    if not known:
        yield ON_NAME, (username,)


def familiar(username, address):
    return f"familiar:{username.lower()}:{address}"
