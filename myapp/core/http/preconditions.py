"""ETags and conditional requests (RFC 9110 §13).

A strong ETag is a hash of the body and the record's version, so it changes if and only if
the record does.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, ParamSpec, TypeVar

from flask import current_app, request

from ..data.models.schema_model import SchemaModel
from ..errors import Problem
from ..schema.operation import document_operation, header_refs, problem_spec
from ..schema.serialization import dumps

P = ParamSpec("P")
R = TypeVar("R")

PRECONDITION_VARIABLES = (
    "HTTP_IF_MATCH",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_UNMODIFIED_SINCE",
)


def etag(body: bytes, version: int) -> str:
    """Return the opaque tag, without its quotes, of a body in this version."""
    return blake2b(b"%d:%b" % (version, body), digest_size=12).hexdigest()


def check_preconditions(
    record: Any | None, model: type[SchemaModel] | None = None
) -> None:
    """Check the request's preconditions against the record that it is about to change.

    `record`: None if it does not exist yet. `model`: the model that serializes it; by
    default its own. Raises 412 if a precondition is false, and 428 if REQUIRE_IF_MATCH
    demands one and the request has none.
    """
    headers = request.headers
    if current_app.config["REQUIRE_IF_MATCH"] and "If-Match" not in headers:
        if record or "If-None-Match" not in headers:
            raise Problem(428)
    if record:
        tag = etag(dumps((model or record).as_json(record)), record.version)
        evaluate_preconditions(tag, record.updated_at)
    elif "If-Match" in headers:
        raise Problem(412)


def evaluate_preconditions(tag: str, modified: datetime | None) -> int | None:
    """Return 304 if the client has this representation already, else None.

    The order of evaluation is that of RFC 9110 §13.2.2. `modified`: a naive UTC datetime.
    Raises 412 if a precondition is false.
    """
    environ = request.environ
    if not any(name in environ for name in PRECONDITION_VARIABLES):
        return None
    is_read = request.method in ("GET", "HEAD")
    if "HTTP_IF_MATCH" in environ:
        if tag not in request.if_match:
            raise Problem(412)
    elif request.if_unmodified_since and modified:
        if modified.replace(tzinfo=UTC) > request.if_unmodified_since:
            raise Problem(412)
    if_none_match = environ.get("HTTP_IF_NONE_MATCH")
    if if_none_match is not None:
        # Most clients send back exactly our ETag, which needs no parsing.
        if if_none_match == f'"{tag}"' or request.if_none_match.contains_weak(tag):
            if is_read:
                return 304
            raise Problem(412)
    elif is_read and request.if_modified_since and modified:
        if modified.replace(tzinfo=UTC) <= request.if_modified_since:
            return 304
    return None


def document_preconditions(verb: Callable[P, R]) -> Callable[P, R]:
    """Document the headers of preconditions, and the statuses that they cause."""

    def header(name: str, description: str, **schema: Any) -> dict[str, Any]:
        return {
            "name": name,
            "in": "header",
            "description": description,
            "schema": {"type": "string", **schema},
        }

    if verb.__name__ == "post":
        return verb
    description = "The ETag that the resource must still have; `*` matches any ETag."
    parameters = [header("If-Match", description, examples=["*"])]
    responses = {"412": problem_spec("The resource has been modified.")}
    if verb.__name__ == "get":
        parameters.append(header("If-None-Match", "The ETag that the client has."))
        responses["304"] = {
            "description": "Not Modified.",
            "headers": header_refs("ETag"),
        }
    elif verb.__name__ != "action":  # which may, but need not, have one
        responses["428"] = problem_spec("If-Match is required.")
    return document_operation(verb, parameters=parameters, responses=responses)
