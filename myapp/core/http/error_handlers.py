"""One format for every error: `application/problem+json` (RFC 9457).

Every exception of Flask, Werkzeug, Flask-RESTX, the service or a store is passed to
`handle_error`. The response tells the client what to correct, and reveals no internals.
"""

from collections.abc import Iterable

import orjson
from flask import Flask, Response, current_app, g, request
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from werkzeug.exceptions import HTTPException

from ..data.dialects import (
    UNAVAILABLE_ERRORS,
    is_client_conflict,
    is_missing_table,
    violated_constraint,
)
from ..data.migrations import schema_fault
from ..data.session import RetryTransaction
from ..errors import (
    DEFAULT_DETAILS,
    RETRY_HEADERS,
    STATUS_TITLES,
    Conflict,
    Problem,
    ServiceError,
    fault,
)


def init_app(app: Flask) -> None:
    """Handle every error of `app` with `handle_error`."""
    app.register_error_handler(Exception, handle_error)


def handle_error(error: Exception) -> Response | HTTPException:
    """Return the response for an exception; log an error of the service or a store."""
    headers: Iterable[tuple[str, str]] = ()
    if isinstance(error, HTTPException):
        code = error.code or 500
        if code < 400:  # a redirect is raised as an exception, too
            return error
        headers = [pair for pair in error.get_headers() if pair[0] != "Content-Type"]
        return problem_response(code, headers=headers)
    if not isinstance(error, ServiceError):
        error = _translate(error)
    if isinstance(error, Problem):
        headers = error.headers.items()
    return problem_response(
        error.status, error.detail, error.errors, headers, error.problem
    )


def problem_response(
    status: int,
    detail: str | None = None,
    errors: list[dict[str, str]] | None = None,
    headers: Iterable[tuple[str, str]] = (),
    kind: str | None = None,
) -> Response:
    """Return a problem (RFC 9457) as a response.

    `detail`: by default that of the status. `errors`: the violations, for 400 and 422.
    `headers`: additional headers, as pairs of name and value. `kind`: the `problem` of its
    class, if it is of a kind of its own.
    """
    detail = detail or DEFAULT_DETAILS.get(status, STATUS_TITLES[status] + ".")
    problem = {
        "type": problem_url(kind) if kind else "about:blank",
        "title": problem_title(kind) if kind else STATUS_TITLES[status],
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


def problem_url(kind: str) -> str:
    """Return the relative URL of the description of a kind of problem."""
    return f"{request.root_path}/docs/problems#{kind}"


def problem_title(kind: str) -> str:
    """Return the title of a kind of problem: `Value taken` for value-taken."""
    return kind.replace("-", " ").capitalize()


def _translate(error: Exception) -> ServiceError:
    if isinstance(error, IntegrityError):
        if is_client_conflict(error):
            return Conflict()
        current_app.logger.error(
            "Constraint violated in request %s: %s",
            g.get("request_id"),
            violated_constraint(error),
        )
        return Problem(500)
    if is_missing_table(error):
        detail = _missing_detail()
        current_app.logger.error("%s", detail)
        return Problem(503, detail, headers=RETRY_HEADERS)
    # A driver may report a lost connection with an exception of any class.
    disconnected = getattr(error, "connection_invalidated", False)
    if disconnected or isinstance(error, UNAVAILABLE_ERRORS):
        current_app.logger.error(
            "A store is unavailable in request %s: %s",
            g.get("request_id"),
            type(error).__name__,
        )
        return Problem(503, headers=RETRY_HEADERS)
    if isinstance(error, RetryTransaction):
        return Problem(503, headers={"Retry-After": "1"})
    current_app.logger.exception("Unexpected error in request %s", g.get("request_id"))
    return Problem(500)


def _missing_detail() -> str:
    """Return which tables or columns are missing, after a statement has needed them."""
    try:
        fault = schema_fault(recheck=True)
    except SQLAlchemyError:
        fault = None
    return fault or "The tables are not up to date: run `flask deploy`."
