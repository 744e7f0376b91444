"""Resource: one address, a method for each verb, one transaction for each request."""

import time
from random import random

import flask_restx
from flask import request

from ..data.dialects import PATIENCE
from ..data.session import Changed, unit_of_work


class Resource(flask_restx.Resource):
    """What answers at one address, a method for each verb. One request, one transaction:
    it commits after the answer is built and before it is sent."""

    # Whether a request changes anything in the SQL database; None: unless it only reads.
    writes = None

    def dispatch_request(self, *args, **kwargs):
        began = time.monotonic()
        writes = self.writes
        if writes is None:
            writes = request.method not in ("GET", "HEAD")
        for attempt in range(ATTEMPTS):
            try:
                with unit_of_work(writes):
                    return super().dispatch_request(*args, **kwargs)
            except Changed:
                late = time.monotonic() > began + PATIENCE
                if late or attempt == ATTEMPTS - 1:
                    raise
            # Of many that gave way to each other, not all come again at once.
            time.sleep(random() * PAUSE * 2**attempt)


ATTEMPTS = 8  # times that a request runs, at most, when it may run anew
PAUSE = 0.002  # seconds, at most, after the first time; then twice as long each time
