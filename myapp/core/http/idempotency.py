"""Idempotency-Key: however often a client sends a POST, it happens once.

The key, the response and what was created are committed together. A second request with
the same key waits for the first one to end, and gets its response.
"""

import re
from functools import wraps
from hashlib import blake2b

from flask import Response, current_app, g, request
from sqlalchemy.exc import OperationalError

from ..data.dialects import waited_too_long
from ..data.models.idempotency import IdempotencyRecord
from ..errors import Conflict, Invalid, Malformed, fault
from ..jobs.schedule import every
from ..schema.operation import carrying, describes, problem_response

VISIBLE = "!-~"  # of ASCII
FORM = re.compile(f"[{VISIBLE}]{{1,255}}")
OTHER_BODY = "The Idempotency-Key came with another body."
STILL_RUNNING = "The first request with this key is still running."
STRANGER = 0  # the account of clients that have none
REPLAYED = (
    "Cache-Control",
    "Content-Type",
    "ETag",
    "Last-Modified",
    "Location",
    "Vary",
)


def idempotent(verb):
    """Answer a repeated Idempotency-Key with the first answer, and do nothing."""

    @wraps(verb)
    def wrapper(*args, **kwargs):
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return verb(*args, **kwargs)
        if not FORM.fullmatch(key):
            wrong = "must be 1 to 255 visible ASCII characters"
            raise Malformed(errors=[fault("/Idempotency-Key", wrong)])
        caller = g.get("caller")
        key_of = {"account_id": caller.id if caller else STRANGER, "key": key}
        if not claim(key_of):
            first = find(key_of)
            if first:
                return replayed(first)
        # Code outside the transaction finds by this what an earlier attempt created.
        g.once = blake2b(f"{key_of}".encode(), digest_size=16).hexdigest()
        response = verb(*args, **kwargs)
        store(key_of, response)
        return response

    replayed_as = {"description": "", "headers": carrying("Idempotent-Replayed")}
    made = [s for s in verb.operation["responses"] if s in ("201", "202")]
    return describes(
        wrapper,
        parameters=[
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "Send the same one again to be sure that it happens once.",
                "schema": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 255,
                    "pattern": f"^[{VISIBLE}]+$",
                },
            }
        ],
        responses={
            **dict.fromkeys(made, replayed_as),
            "400": problem_response("The Idempotency-Key is malformed."),
            "409": problem_response(STILL_RUNNING),
            "422": problem_response(OTHER_BODY),
        },
    )


def claim(key_of):
    """Return whether this is the first request with its key. Raises Conflict where the
    first one runs for too long."""
    try:
        return IdempotencyRecord.claim(**key_of, request_hash=request_hash())
    except OperationalError as error:
        if not waited_too_long(error):
            raise
        raise Conflict(STILL_RUNNING) from None


def find(key_of):
    """Return the record of the first request within the last day, or None. Raises Invalid
    where that had another body."""
    record = IdempotencyRecord.find(**key_of)
    if record and record.request_hash != request_hash():
        wrong = "came with another body before"
        raise Invalid(OTHER_BODY, [fault("/Idempotency-Key", wrong)])
    return record


def store(key_of, response):
    """Store the response beside what it reports."""
    headers = response.headers
    IdempotencyRecord.store(
        **key_of,
        request_hash=request_hash(),
        status=response.status_code,
        headers={name: headers[name] for name in REPLAYED if name in headers},
        body=response.get_data(),
    )


def replayed(first):
    """The first answer, once more."""
    response = Response(first.body, first.status, first.headers)
    response.headers["Idempotent-Replayed"] = "true"
    return response


def request_hash():
    """What tells one request from another; keyed, since bodies may hold passwords."""
    secret = current_app.config["SECRET_KEY"].encode()[:64]
    digest = blake2b(request.full_path.encode(), key=secret, digest_size=32)
    digest.update(g.get("digest") or request.get_data())
    return digest.digest()


@every(minutes=10)
def purge():
    """Delete responses that are older than a day."""
    count = IdempotencyRecord.delete_expired()
    return count and f"{count} answers"
