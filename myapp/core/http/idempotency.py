"""Idempotency-Key: a POST is carried out once, however often a client sends it.

The key, the response and the created record are committed together. A second request with
the same key waits for the first one to end, and gets its response.
"""

import re
from collections.abc import Callable
from functools import wraps
from hashlib import blake2b
from typing import Any, ParamSpec

from flask import Response, current_app, g, request
from sqlalchemy.exc import OperationalError

from ..data.dialects import is_lock_timeout
from ..data.models.idempotency import IdempotencyRecord
from ..errors import Conflict, Invalid, Malformed, fault
from ..jobs.schedule import periodic_task
from ..schema.operation import document_operation, header_refs, problem_spec

P = ParamSpec("P")

VISIBLE_ASCII = "!-~"  # the range of visible ASCII characters
KEY_PATTERN = re.compile(f"[{VISIBLE_ASCII}]{{1,255}}")
ANONYMOUS_ID = 0  # the account id of anonymous clients
REPLAYED_HEADERS = (
    "Cache-Control",
    "Content-Type",
    "ETag",
    "Last-Modified",
    "Location",
    "Vary",
)


class KeyInUse(Conflict):
    """The first request with this Idempotency-Key is still running."""

    problem = "key-in-use"


class KeyReused(Invalid):
    """The Idempotency-Key was used with another request."""

    problem = "key-reused"


def idempotent(verb: Callable[P, Response]) -> Callable[P, Response]:
    """Carry out a POST once for each Idempotency-Key, and replay its response after that.

    It is above `accepts` and `responds_with`, and below `requires`. A request without the
    header is carried out each time. Raises 400 if the key is malformed, 409 if the first
    request is still running, and 422 if the key was used with another request.
    """

    @wraps(verb)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Response:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return verb(*args, **kwargs)
        if not KEY_PATTERN.fullmatch(key):
            detail = "Must be 1 to 255 visible ASCII characters."
            raise Malformed(errors=[fault("/Idempotency-Key", detail)])
        caller = g.get("caller")
        key_columns = {"account_id": caller.id if caller else ANONYMOUS_ID, "key": key}
        if not claim_key(key_columns):
            first = find_record(key_columns)
            if first:
                return replay_response(first)
        # Redis is outside the transaction: by this digest, a retry finds the record that an
        # earlier attempt created there.
        g.idempotency_digest = blake2b(
            f"{key_columns}".encode(), digest_size=16
        ).hexdigest()
        response = verb(*args, **kwargs)
        store_response(key_columns, response)
        return response

    replay = {"description": "", "headers": header_refs("Idempotent-Replayed")}
    operation: dict[str, Any] = getattr(verb, "operation")
    successes = [status for status in operation["responses"] if status[0] == "2"]
    return document_operation(
        wrapper,
        decorator="idempotent",
        parameters=[
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "A unique key. A retry with the same key is safe.",
                "schema": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 255,
                    "pattern": f"^[{VISIBLE_ASCII}]+$",
                },
            }
        ],
        responses={
            **dict.fromkeys(successes, replay),
            "400": problem_spec("The Idempotency-Key is malformed."),
            "409": problem_spec(str(KeyInUse.__doc__)),
            "422": problem_spec(str(KeyReused.__doc__)),
        },
    )


def claim_key(key_columns: dict[str, Any]) -> bool:
    """Return True if this is the first request with its key.

    `key_columns`: the account id and the key. Raises KeyInUse if the first request runs for
    too long.
    """
    try:
        return IdempotencyRecord.claim(**key_columns, request_hash=request_hash())
    except OperationalError as error:
        if not is_lock_timeout(error):
            raise
        raise KeyInUse from None


def find_record(key_columns: dict[str, Any]) -> IdempotencyRecord | None:
    """Return the record of the first request, or None if it is older than a day.

    Raises KeyReused if that was another request.
    """
    record = IdempotencyRecord.find(**key_columns)
    if record and record.request_hash != request_hash():
        detail = "Was used with another request."
        raise KeyReused(errors=[fault("/Idempotency-Key", detail)])
    return record


def store_response(key_columns: dict[str, Any], response: Response) -> None:
    """Store the response, in the transaction of the record that it reports."""
    headers = response.headers
    IdempotencyRecord.store(
        **key_columns,
        request_hash=request_hash(),
        status=response.status_code,
        headers={name: headers[name] for name in REPLAYED_HEADERS if name in headers},
        body=response.get_data(),
    )


def replay_response(first: IdempotencyRecord) -> Response:
    """Return the stored response once more."""
    response = Response(first.body, first.status, first.headers)
    response.headers["Idempotent-Replayed"] = "true"
    return response


def request_hash() -> bytes:
    """Return a hash of the request: its path, query and body.

    It is keyed with SECRET_KEY, because a body may hold a password.
    """
    secret = current_app.config["SECRET_KEY"].encode()[:64]
    digest = blake2b(request.full_path.encode(), key=secret, digest_size=32)
    digest.update(g.get("digest") or request.get_data())
    return digest.digest()


@periodic_task(minutes=10)
def purge() -> str | None:
    """Delete responses that are older than a day."""
    count = IdempotencyRecord.delete_expired()
    return f"{count} responses" if count else None
