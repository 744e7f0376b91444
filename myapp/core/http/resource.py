"""Resource: one URL, a method for each verb, one transaction for each request."""

import time
from random import random
from typing import Any

import flask_restx
from flask import request
from flask.typing import ResponseReturnValue

from ..data.dialects import LOCK_TIMEOUT_SECONDS
from ..data.session import RetryTransaction, unit_of_work


class Resource(flask_restx.Resource):
    """A resource at one URL, with a method for each verb.

    One request is one transaction, committed after the response is built and before it is
    sent. A request that lost a race (RetryTransaction) is retried.
    """

    # Whether a request writes to the SQL database; None: every method except GET and HEAD.
    writes: bool | None = None

    def dispatch_request(self, *args: Any, **kwargs: Any) -> ResponseReturnValue:
        """Call the method for the request's verb in a unit of work.

        Raises RetryTransaction after MAX_ATTEMPTS attempts, or after
        LOCK_TIMEOUT_SECONDS seconds.
        """
        start = time.monotonic()
        writes = self.writes
        if writes is None:
            writes = request.method not in ("GET", "HEAD")
        attempt = 0
        while True:
            try:
                with unit_of_work(writes):
                    return super().dispatch_request(*args, **kwargs)
            except RetryTransaction:
                late = time.monotonic() > start + LOCK_TIMEOUT_SECONDS
                if late or attempt == MAX_ATTEMPTS - 1:
                    raise
            # A random pause, so that requests in conflict do not all retry at once.
            time.sleep(random() * RETRY_PAUSE_SECONDS * 2**attempt)
            attempt += 1


MAX_ATTEMPTS = 8  # of a request, at most
# seconds after the first attempt, at most; doubled after each other one
RETRY_PAUSE_SECONDS = 0.002
