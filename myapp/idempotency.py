"""Idempotency-Key: however often a client sends a POST, it happens once.

The key, the answer and what was created are committed together. A retry gets the first
answer again; two at once meet at the unique key, and the later one runs anew and finds the
answer of the first.
"""

import re
from datetime import timedelta
from functools import wraps
from hashlib import blake2b

from flask import Response, current_app, g, request
from sqlalchemy import Column, Index, Integer, LargeBinary, String, UniqueConstraint
from sqlalchemy import JSON
from sqlalchemy.exc import IntegrityError

from .db import Changed, sql
from .docs import describes, problem_response
from .model import KEY, MOMENT, now
from .problems import Problem, fault

KEPT = timedelta(hours=24)
FORM = re.compile(r"[\x21-\x7e]{1,255}")
STRANGER = 0  # the account of those who have none
REPLAYED = (
    "Content-Type",
    "Location",
    "ETag",
    "Last-Modified",
    "Cache-Control",
    "Vary",
)


class FirstAnswer(sql.Model):
    """What was answered to a key the first time."""

    __tablename__ = "idempotency"
    __table_args__ = (
        UniqueConstraint("account_id", "key"),
        Index(None, "created_at"),
        {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_nopad_bin"},
    )

    id = Column(KEY, primary_key=True)
    account_id = Column(KEY, nullable=False)
    key = Column(String(255), nullable=False)
    request_hash = Column(LargeBinary(32), nullable=False)
    status = Column(Integer, nullable=False)
    headers = Column(JSON, nullable=False)
    body = Column(LargeBinary, nullable=False)
    created_at = Column(MOMENT, nullable=False)


def idempotent(verb):
    """Answer a repeated Idempotency-Key with the first answer, and do nothing."""

    @wraps(verb)
    def wrapper(*args, **kwargs):
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return verb(*args, **kwargs)
        if not FORM.fullmatch(key):
            wrong = "must be 1 to 255 visible ASCII characters"
            raise Problem(400, errors=[fault("/Idempotency-Key", wrong)])
        caller = g.get("caller")
        account_id = caller.id if caller else STRANGER
        claim(account_id, key)
        first = find(account_id, key)
        if first:
            return replayed(first)
        response = verb(*args, **kwargs)
        keep(account_id, key, response)
        return response

    return describes(
        wrapper,
        parameters=[
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "Send the same one again to be sure that it happens once.",
                "schema": {"type": "string", "maxLength": 255},
            }
        ],
        responses={
            "400": problem_response("The Idempotency-Key is malformed."),
            "409": problem_response(
                "The first request with this key is still running."
            ),
            "422": problem_response("The Idempotency-Key came with another body."),
        },
    )


def claim(account_id, key):
    """Raise 409 where the same request is running elsewhere right now.

    Where the database has no lock to try, the second one waits for the first instead.
    """
    if sql.engine.dialect.name == "postgresql":
        number = int.from_bytes(
            blake2b(f"{account_id}:{key}".encode(), digest_size=8).digest(), signed=True
        )
        lock = sql.func.pg_try_advisory_xact_lock(number)
        if not sql.session.scalar(sql.select(lock)):
            raise Problem(409, "The first request with this key is still running.")


def find(account_id, key):
    """What was answered to the key within the last day, or None. Raises 422."""
    first = sql.session.execute(
        sql.select(
            FirstAnswer.request_hash,
            FirstAnswer.status,
            FirstAnswer.headers,
            FirstAnswer.body,
        ).where(FirstAnswer.account_id == account_id, FirstAnswer.key == key)
    ).first()
    if first and first.request_hash != request_hash():
        wrong = "came with another body before"
        raise Problem(422, errors=[fault("/Idempotency-Key", wrong)])
    return first


def keep(account_id, key, response):
    """Put the answer beside what it tells of. Raises Changed where another one was
    first."""
    statement = sql.insert(FirstAnswer).values(
        account_id=account_id,
        key=key,
        request_hash=request_hash(),
        status=response.status_code,
        headers={n: response.headers[n] for n in REPLAYED if n in response.headers},
        body=response.get_data(),
        created_at=now(),
    )
    try:
        sql.session.execute(statement)
    except IntegrityError:
        raise Changed from None


def replayed(first):
    response = Response(first.body, first.status, first.headers)
    response.headers["Idempotent-Replayed"] = "true"
    return response


def request_hash():
    """What tells one request from another; keyed, since bodies may hold passwords."""
    secret = current_app.config["SECRET_KEY"].encode()[:64]
    digest = blake2b(request.full_path.encode(), key=secret, digest_size=32)
    digest.update(request.get_data())
    return digest.digest()


def purge():
    """Forget answers that are older than a day; returns how many."""
    old = sql.delete(FirstAnswer).where(FirstAnswer.created_at < now() - KEPT)
    return sql.session.execute(old).rowcount
