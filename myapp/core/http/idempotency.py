"""Idempotency-Key: however often a client sends a POST, it happens once.

The key, the answer and what was created are committed together. Whoever comes second with
a key waits for the first one's end, and gets its answer again.
"""

import re
from datetime import timedelta
from functools import wraps
from hashlib import blake2b

from flask import Response, current_app, g, request
from sqlalchemy import JSON, Column, Integer, LargeBinary, String, bindparam
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import OperationalError

from ..data.batches import delete_in_batches
from ..data.dialects import waited_too_long
from ..data.models.columns import KEY, MOMENT, now
from ..data.models.redis_model import ONCE
from ..data.session import Changed, sql
from ..data.statements import filled, parameters, write
from ..errors import Conflict, Invalid, Malformed, fault
from ..jobs.schedule import every
from ..schema.operation import carrying, describes, problem_response

KEPT = timedelta(seconds=ONCE)
VISIBLE = "!-~"  # of ASCII
FORM = re.compile(f"[{VISIBLE}]{{1,255}}")
OTHER_BODY = "The Idempotency-Key came with another body."
STILL_RUNNING = "The first request with this key is still running."
STRANGER = 0  # the account of those who have none
REPLAYED = (
    "Cache-Control",
    "Content-Type",
    "ETag",
    "Last-Modified",
    "Location",
    "Vary",
)


class FirstAnswer(sql.Model):
    """What was answered to a key the first time; without a status, while that is under
    way."""

    __tablename__ = "idempotency"
    __table_args__ = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_nopad_bin"}

    account_id = Column(KEY, primary_key=True, autoincrement=False)
    key = Column(String(255), primary_key=True)
    request_hash = Column(LargeBinary, nullable=False)
    created_at = Column(MOMENT, nullable=False, index=True)
    status = Column(Integer)
    headers = Column(JSON(none_as_null=True))
    body = Column(LargeBinary)


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
        of_this = {"account_id": caller.id if caller else STRANGER, "key": key}
        if not claimed(of_this):
            first = found(of_this)
            if first:
                return replayed(first)
        # What is made outside the transaction must find out for itself what it made.
        g.once = blake2b(f"{of_this}".encode(), digest_size=16).hexdigest()
        response = verb(*args, **kwargs)
        keep(of_this, response)
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


def claimed(of_this):
    """Whether this is the first request with its key. Waits while another one is under
    way; raises 409 where that takes too long."""
    row = {**of_this, "request_hash": request_hash(), "created_at": now()}

    def claim():
        dialect = sql.engine.dialect.name
        if dialect in ("mysql", "mariadb"):
            insert = mysql.insert(FirstAnswer).prefix_with("IGNORE")
        else:
            form = postgresql if dialect == "postgresql" else sqlite
            insert = form.insert(FirstAnswer).on_conflict_do_nothing()
        return insert.values(parameters(row)).returning(FirstAnswer.account_id)

    try:
        return bool(write("claim", claim, **filled(row)))
    except OperationalError as error:
        if not waited_too_long(error):
            raise
        raise Conflict(STILL_RUNNING) from None


def found(of_this):
    """What was answered to the key within the last day, or None. Raises 422."""
    first = sql.session.scalars(
        sql.select(FirstAnswer).filter_by(**of_this).with_for_update()
    ).first()
    if first is None:  # purged just now
        raise Changed
    if first.created_at < now() - KEPT:
        return None
    if first.request_hash != request_hash():
        wrong = "came with another body before"
        raise Invalid(OTHER_BODY, [fault("/Idempotency-Key", wrong)])
    return first


def keep(of_this, response):
    """Put the answer beside what it tells of."""
    headers = response.headers
    kept = {
        "request_hash": request_hash(),
        "created_at": now(),
        "status": response.status_code,
        "headers": {name: headers[name] for name in REPLAYED if name in headers},
        "body": response.get_data(),
    }

    def answer():
        of = {name: bindparam(name) for name in of_this}
        return sql.update(FirstAnswer).filter_by(**of).values(parameters(kept))

    write("answer", answer, **of_this, **filled(kept))


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
    """Forget answers that are older than a day."""
    old = FirstAnswer.created_at < now() - KEPT
    count = delete_in_batches(FirstAnswer.__table__, old)
    return count and f"{count} answers"
