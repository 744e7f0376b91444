"""One form for every error: `application/problem+json` (RFC 9457).

Whatever goes wrong, wherever it comes from (Flask, Werkzeug, Flask-RESTX, the guard, a
store), ends in `answer`. It tells the client what to mend, and nothing of our insides.
"""

import orjson
from flask import Response, current_app, g
from redis.exceptions import RedisError
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from .databases import lacks_tables
from .db import Changed

# RFC 9110's names; HTTPStatus has older ones before Python 3.13
TITLES = HTTP_STATUS_CODES | {413: "Content Too Large", 422: "Unprocessable Content"}

UNAVAILABLE = (OperationalError, InterfaceError, PoolTimeout, RedisError)
RETRY = {"Retry-After": "5"}  # seconds; what an answer of 503 tells

DETAILS = {
    400: "The request is malformed.",
    401: "Valid credentials are needed here.",
    403: "You are known, but not permitted to do this.",
    404: "There is no such thing here.",
    405: "This address does not know that verb; see Allow.",
    409: "This conflicts with what is there.",
    412: "The thing has changed since, or a precondition does not hold.",
    413: "The body is too large.",
    415: "The body must be JSON, sent as application/json.",
    422: "The body does not fit the schema.",
    428: "Send If-Match with the ETag of what you mean to change.",
    429: "Slow down.",
    500: "Something went wrong on our side. It has been logged.",
    503: "A part that this needs is down. Try again in a moment.",
}


class Problem(HTTPException):
    """An error to answer with; raise it from anywhere.

    `errors`: the faults, each {"pointer": RFC 6901 pointer, "detail": what is wrong}.
    """

    def __init__(self, status, detail=None, errors=None, headers=None):
        super().__init__(detail)
        self.code = status
        self.errors = errors
        self.headers = headers or {}

    def get_headers(self, *args, **kwargs):
        return list(self.headers.items())


def fault(pointer, detail):
    """One entry of `errors`."""
    return {"pointer": pointer, "detail": detail}


def init_app(app):
    """Hand every error of `app` to `answer`."""
    app.register_error_handler(Exception, answer)


def answer(error):
    """The response that an exception deserves."""
    if not isinstance(error, HTTPException):
        error = _translated(error)
    status = error.code
    if status < 400:  # a redirect travels as an exception, too
        return error
    detail = error.description if isinstance(error, Problem) else None
    problem = {
        "type": "about:blank",
        "title": TITLES[status],
        "status": status,
        "detail": detail or DETAILS.get(status, TITLES[status] + "."),
        "request_id": g.get("request_id"),
    }
    if status in (400, 422):
        errors = getattr(error, "errors", None)
        problem["errors"] = errors or [fault("", problem["detail"])]
    response = Response(
        orjson.dumps(problem), status, content_type="application/problem+json"
    )
    response.headers["Cache-Control"] = "no-store"
    for name, value in error.get_headers():
        if name != "Content-Type":
            response.headers[name] = value
    return response


def _translated(error):
    if isinstance(error, IntegrityError):
        return Problem(409)
    if isinstance(error, ProgrammingError) and lacks_tables(error):
        current_app.logger.error("The tables are not up to date: flask deploy")
        return Problem(503, headers=RETRY)
    gone = getattr(error, "connection_invalidated", False)  # whatever the driver says
    if gone or isinstance(error, UNAVAILABLE):
        current_app.logger.error(
            "A store does not answer in request %s: %s",
            g.get("request_id"),
            type(error).__name__,
        )
        return Problem(503, headers=RETRY)
    if isinstance(error, Changed):
        return Problem(503, headers={"Retry-After": "1"})
    current_app.logger.exception("Unexpected error in request %s", g.get("request_id"))
    return Problem(500)
