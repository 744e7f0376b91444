"""Document an operation: parameters, request body, responses.

A verb is a method of a resource that handles one HTTP method. Each decorator that checks
something calls `document_operation` on its verb; the OpenAPI document is built from the
results.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from ..errors import DEFAULT_DETAILS, DefinitionError
from .fields import Schema

# Decorators of a verb by their place: those of a group are below those of an earlier one.
LAYERS = (
    ("requires", "requires_refresh_token", "public"),
    # The key of a request is compared with a digest of its file.
    ("query_params", "accepts_upload"),
    ("idempotent",),
    ("accepts", "accepts_patch"),
    ("responds_with", "responds_no_content", "responds_file", "responds_csv")
    + ("exports", "paginated"),
)
Verb = TypeVar("Verb", bound=Callable[..., Any])


def example_schema(
    description: str, example: Any, type: str = "string", **other: Any
) -> Schema:
    """Return the schema of a property of an error, with an example of it."""
    return {"type": type, **other, "description": description, "examples": [example]}


FAULT_SCHEMA: Schema = {
    "title": "Fault",
    "type": "object",
    "properties": {
        "pointer": example_schema("The place of the error (RFC 6901).", "/name"),
        "detail": example_schema("The error.", "This property is required."),
    },
    "required": ["pointer", "detail"],
}
PROBLEM_SCHEMA: Schema = {
    "title": "Problem",
    "description": "An error (RFC 9457).",
    "type": "object",
    "properties": {
        "type": example_schema(
            "The kind of problem; about:blank if the status says it all.",
            "about:blank",
            format="uri-reference",
        ),
        "title": example_schema("The name of the status.", "Not Found"),
        "status": example_schema(
            "The HTTP status.", 404, "integer", minimum=400, maximum=599
        ),
        "detail": example_schema("The cause of this error.", DEFAULT_DETAILS[404]),
        "request_id": example_schema(
            "The id of the request in the log.", "5f2c9a1e7b3d4086"
        ),
        "errors": {
            "description": "All errors of a body or a query.",
            "type": "array",
            "items": FAULT_SCHEMA,
        },
    },
    "required": ["type", "title", "status", "detail", "request_id"],
}


def response_header(description: str, required: bool = True, **schema: Any) -> Schema:
    """Return the OpenAPI header of a response; `schema` defaults to a string."""
    schema = {"type": "string", **schema}
    return {"description": description, "required": required, "schema": schema}


RESPONSE_HEADERS = {
    "X-Request-ID": response_header("The id of the request in the log."),
    "ETag": response_header("The version of the representation (RFC 9110 §8.8.3)."),
    "Last-Modified": response_header("The time of the last change (RFC 9110 §8.8.2)."),
    "Location": response_header("The URL of the new resource.", format="uri"),
    "Link": response_header("The links of `meta` (RFC 8288)."),
    "Content-Disposition": response_header("The name of the file (RFC 6266)."),
    "Idempotent-Replayed": response_header(
        "Set if this is the stored response to an earlier request.",
        False,
        enum=["true"],
    ),
    "WWW-Authenticate": response_header(
        "The accepted authentication schemes (RFC 9110 §11.6.1)."
    ),
    "Retry-After": response_header(
        "Seconds to wait before the next request.", type="integer", minimum=0
    ),
    "X-RateLimit-Limit": response_header(
        "Requests allowed per window; sent if rate limits are enabled.",
        False,
        type="integer",
        minimum=1,
    ),
    "X-RateLimit-Remaining": response_header(
        "Requests left in the current window.", False, type="integer", minimum=0
    ),
    "X-RateLimit-Reset": response_header(
        "The start of the next window, in seconds since the epoch (UTC).",
        False,
        type="integer",
        minimum=0,
    ),
}
# The headers that every response may have, and those that an error has in addition.
COMMON_HEADERS = "X-Request-ID", *(
    name for name in RESPONSE_HEADERS if "RateLimit" in name
)
PROBLEM_HEADERS = {
    "401": ["WWW-Authenticate"],
    "429": ["Retry-After"],
    "503": ["Retry-After"],
}


def document_operation(
    verb: Verb,
    *,
    parameters: Iterable[dict[str, Any]] = (),
    request_body: dict[str, Any] | None = None,
    responses: Mapping[str, dict[str, Any]] | None = None,
    decorator: str | None = None,
    **other: Any,
) -> Verb:
    """Add to the documentation of a verb, and return the verb.

    The arguments are parts of an OpenAPI 3.1 operation, with whole JSON Schemas in them.
    `parameters` are appended, `responses` are merged by status. Anything else (`security`,
    `deprecated`, …) replaces the previous value. `decorator`: the name of the decorator
    that calls this; raises DefinitionError if it belongs below one that the verb has.
    """
    if decorator:
        inner = getattr(verb, "outermost", decorator)
        if layer_of(decorator) > layer_of(inner):
            raise DefinitionError(
                f"{verb.__module__}.{verb.__qualname__}: put @{inner} above @{decorator}."
            )
        setattr(verb, "outermost", decorator)
    current = getattr(verb, "operation", {"parameters": [], "responses": {}})
    if request_body:
        other["requestBody"] = request_body
    merged = dict(current["responses"])
    for status, response in (responses or {}).items():
        merged[status] = (
            merge_responses(merged[status], response) if status in merged else response
        )
    # A new dict, because functools.wraps shares the old one with the wrapped function.
    operation = current | other
    operation["parameters"] = [*current["parameters"], *parameters]
    operation["responses"] = merged
    setattr(verb, "operation", operation)
    return verb


def layer_of(decorator: str) -> int:
    """Return the place of a decorator in LAYERS."""
    return next(n for n, names in enumerate(LAYERS) if decorator in names)


def merge_responses(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Merge two responses of one status: both descriptions, all headers and contents."""
    both = other | one
    for part in ("headers", "content"):
        if part in both:
            both[part] = one.get(part, {}) | other.get(part, {})
    if other["description"] not in one["description"]:
        both["description"] = f"{one['description']} {other['description']}"
    return both


def header_refs(*names: str) -> dict[str, Any]:
    """Return references to RESPONSE_HEADERS by name, as the `headers` of a response."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def problem_spec(description: str) -> dict[str, Any]:
    """Return the OpenAPI response of an error; `description` says when it occurs."""
    content = {"application/problem+json": {"schema": PROBLEM_SCHEMA}}
    return {"description": description, "content": content}


def error_responses(reasons: Mapping[int, str]) -> Callable[[Verb], Verb]:
    """Document further errors of a verb: {status: reason}."""
    responses = {str(status): problem_spec(why) for status, why in reasons.items()}
    return lambda verb: document_operation(verb, responses=responses)
