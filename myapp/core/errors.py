"""The errors that the service raises, and that a client can do something about.

Models and schemas raise what happened: NotFound, Conflict, Invalid, … Code that speaks HTTP
may raise a Problem with a status and headers. `http/error_handlers.py` answers all of them
as `application/problem+json` (RFC 9457).
"""

from werkzeug.http import HTTP_STATUS_CODES

# RFC 9110's names; HTTPStatus has older ones before Python 3.13
TITLES = HTTP_STATUS_CODES | {413: "Content Too Large", 422: "Unprocessable Content"}

RETRY = {"Retry-After": "5"}  # seconds; sent with 503

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


class ServiceError(Exception):
    """An error that is reported to the client.

    `detail`: one sentence; by default that of the status.
    `errors`: every fault, as `fault` makes them.
    """

    def __init__(self, detail=None, errors=None):
        super().__init__(detail)
        self.detail = detail
        self.errors = errors


class NotFound(ServiceError):
    """There is no such record, or the caller may not know of it."""


class Conflict(ServiceError):
    """A unique value is taken, or the state of a record forbids the change."""


class Forbidden(ServiceError):
    """The caller lacks a permission."""


class Malformed(ServiceError):
    """The input cannot be parsed."""


class Invalid(ServiceError):
    """The input violates its schema or a rule of the model."""


class InvalidReference(Invalid):
    """A reference names a record that does not exist."""


class Problem(ServiceError):
    """An error with an HTTP status, and headers for its response."""

    def __init__(self, status, detail=None, errors=None, headers=None):
        super().__init__(detail, errors)
        self.status = status
        self.headers = headers or {}


def fault(pointer, detail):
    """One entry of `errors`: a JSON Pointer (RFC 6901), and what is wrong there."""
    return {"pointer": pointer, "detail": detail}
