"""One format for every error: `application/problem+json` (RFC 9457).

Every exception, from Flask, Werkzeug, Flask-RESTX, the service or a store, ends in
`answer`. It tells the client what to correct, and nothing about the inside.
"""

import orjson
from flask import Response, current_app, g
from sqlalchemy.exc import IntegrityError, ProgrammingError
from werkzeug.exceptions import HTTPException

from ..data.dialects import UNAVAILABLE, lacks_tables
from ..data.session import Changed
from ..errors import (
    DETAILS,
    RETRY,
    TITLES,
    Conflict,
    Forbidden,
    Invalid,
    InvalidReference,
    Malformed,
    NotFound,
    Problem,
    ServiceError,
    fault,
)


def init_app(app):
    """Hand every error of `app` to `answer`."""
    app.register_error_handler(Exception, answer)


STATUSES = {
    NotFound: 404,
    Conflict: 409,
    Forbidden: 403,
    Malformed: 400,
    Invalid: 422,
    InvalidReference: 422,
}


def answer(error):
    """The response that an exception deserves."""
    if isinstance(error, HTTPException):
        if error.code < 400:  # a redirect travels as an exception, too
            return error
        headers = [pair for pair in error.get_headers() if pair[0] != "Content-Type"]
        return problem_response(error.code, headers=headers)
    if not isinstance(error, ServiceError):
        error = _translated(error)
    if isinstance(error, Problem):
        status, headers = error.status, error.headers.items()
    else:
        status, headers = STATUSES[type(error)], ()
    return problem_response(status, error.detail, error.errors, headers)


def problem_response(status, detail=None, errors=None, headers=()):
    """The response with that status as a problem; `headers`: pairs of name and value."""
    problem = {
        "type": "about:blank",
        "title": TITLES[status],
        "status": status,
        "detail": detail or DETAILS.get(status, TITLES[status] + "."),
        "request_id": g.get("request_id"),
    }
    if status in (400, 422):
        problem["errors"] = errors or [fault("", problem["detail"])]
    response = Response(
        orjson.dumps(problem), status, content_type="application/problem+json"
    )
    response.headers["Cache-Control"] = "no-store"
    for name, value in headers:
        response.headers[name] = value
    return response


def _translated(error):
    if isinstance(error, IntegrityError):
        return Conflict()
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
