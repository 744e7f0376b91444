"""One format for every error: `application/problem+json` (RFC 9457).

Every exception of Flask, Werkzeug, Flask-RESTX, the service or a store is passed to
`answer`. The response tells the client what to correct, and reveals no internals.
"""

from collections.abc import Iterable

import orjson
from flask import Flask, Response, current_app, g
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


def init_app(app: Flask) -> None:
    """Handle every error of `app` with `answer`."""
    app.register_error_handler(Exception, answer)


STATUSES: dict[type[ServiceError], int] = {
    NotFound: 404,
    Conflict: 409,
    Forbidden: 403,
    Malformed: 400,
    Invalid: 422,
    InvalidReference: 422,
}


def answer(error: Exception) -> Response | HTTPException:
    """Return the response for an exception; log an error of the service or a store."""
    headers: Iterable[tuple[str, str]] = ()
    if isinstance(error, HTTPException):
        code = error.code or 500
        if code < 400:  # a redirect is raised as an exception, too
            return error
        headers = [pair for pair in error.get_headers() if pair[0] != "Content-Type"]
        return problem_response(code, headers=headers)
    if not isinstance(error, ServiceError):
        error = _translated(error)
    if isinstance(error, Problem):
        status, headers = error.status, error.headers.items()
    else:
        status = STATUSES[type(error)]
    return problem_response(status, error.detail, error.errors, headers)


def problem_response(
    status: int,
    detail: str | None = None,
    errors: list[dict[str, str]] | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> Response:
    """Return a problem (RFC 9457) as a response.

    `detail`: by default that of the status. `errors`: the violations, for 400 and 422.
    `headers`: additional headers, as pairs of name and value.
    """
    detail = detail or DETAILS.get(status, TITLES[status] + ".")
    problem = {
        "type": "about:blank",
        "title": TITLES[status],
        "status": status,
        "detail": detail,
        "request_id": g.get("request_id"),
    }
    if status in (400, 422):
        problem["errors"] = errors or [fault("", detail)]
    response = Response(
        orjson.dumps(problem), status, content_type="application/problem+json"
    )
    response.headers["Cache-Control"] = "no-store"
    for name, value in headers:
        response.headers[name] = value
    return response


def _translated(error: Exception) -> ServiceError:
    if isinstance(error, IntegrityError):
        return Conflict()
    if isinstance(error, ProgrammingError) and lacks_tables(error):
        current_app.logger.error("The tables are not up to date. Run `flask deploy`.")
        return Problem(503, headers=RETRY)
    # A driver may report a lost connection with an exception of any class.
    disconnected = getattr(error, "connection_invalidated", False)
    if disconnected or isinstance(error, UNAVAILABLE):
        current_app.logger.error(
            "A store is unavailable in request %s: %s",
            g.get("request_id"),
            type(error).__name__,
        )
        return Problem(503, headers=RETRY)
    if isinstance(error, Changed):
        return Problem(503, headers={"Retry-After": "1"})
    current_app.logger.exception("Unexpected error in request %s", g.get("request_id"))
    return Problem(500)
