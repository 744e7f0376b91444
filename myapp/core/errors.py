"""The errors that the service raises and that a client can act on.

Models and schemas raise an error that names the cause: NotFound, Conflict, Invalid, …
Code that handles HTTP may raise a Problem with any status and headers.
`http/error_handlers.py` renders all of them as `application/problem+json` (RFC 9457).
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from werkzeug.http import HTTP_STATUS_CODES

# The names of RFC 9110; HTTPStatus has older ones before Python 3.13.
STATUS_TITLES = HTTP_STATUS_CODES | {
    413: "Content Too Large",
    422: "Unprocessable Content",
}

RETRY_HEADERS = {"Retry-After": "5"}  # seconds; sent with 503

DEFAULT_DETAILS = {
    400: "The request is malformed.",
    401: "Valid credentials are required.",
    403: "You do not have permission to do this.",
    404: "Not found.",
    405: "The method is not allowed for this URL. See the Allow header.",
    409: "The request conflicts with the current state of the resource.",
    412: "The resource has been modified.",
    413: "The request body is too large.",
    415: "The request body must be JSON, sent as application/json.",
    422: "The request body violates the schema.",
    428: "Send If-Match with the ETag of the resource.",
    429: "Too many requests.",
    500: "An internal error occurred. It has been logged.",
    503: "A dependency is unavailable. Try again later.",
}


class ServiceError(Exception):
    """An error that is reported to the client.

    `detail`: one sentence; by default the one of the class, or of the status.
    `errors`: a list of violations, as `fault` returns them.

    A subclass with a `problem` is a kind of error that clients can tell from others of its
    status; `/docs/problems` lists it, and its docstring is the detail:

        class Lent(Conflict):
            '''The game is lent to an account.'''

            problem = "lent"
    """

    status: int
    problem: ClassVar[str | None] = None

    def __init__(
        self, detail: str | None = None, errors: list[dict[str, str]] | None = None
    ) -> None:
        super().__init__(detail)
        if detail is None and self.problem:
            detail = " ".join(str(type(self).__doc__).split())
        self.detail = detail
        self.errors = errors

    @classmethod
    def kinds(cls) -> Iterator[type["ServiceError"]]:
        """Yield the subclasses with a `problem`."""
        for kind in cls.__subclasses__():
            if kind.problem:
                yield kind
            yield from kind.kinds()


class NotFound(ServiceError):
    """There is no such record, or the caller must not know that it exists."""

    status = 404


class Conflict(ServiceError):
    """The state of a record forbids the change."""

    status = 409


class ValueTaken(Conflict):
    """Another record has this value, which must be unique."""

    problem = "value-taken"


class Forbidden(ServiceError):
    """The caller lacks a permission."""

    status = 403


class Malformed(ServiceError):
    """The input cannot be parsed."""

    status = 400


class Invalid(ServiceError):
    """The input violates its schema or a rule of the model."""

    status = 422


class InvalidReference(Invalid):
    """A reference names a record that does not exist."""


class Problem(ServiceError):
    """An error with any HTTP status, and headers for its response."""

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        errors: list[dict[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail, errors)
        self.status = status
        self.headers = headers or {}


class DefinitionError(TypeError):
    """A feature is defined in a way that cannot work; one sentence says what to change.

    The process ends at its start, and `ops/startup.py` prints the sentence alone.
    """


def json_pointer(name: str) -> str:
    """Return the JSON Pointer (RFC 6901) of a member of an object."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def fault(pointer: str, detail: str) -> dict[str, str]:
    """Return one entry of `errors`: a JSON Pointer (RFC 6901) and what is wrong there."""
    return {"pointer": pointer, "detail": detail}
