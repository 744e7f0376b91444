"""Document an operation: parameters, request body, responses.

Every decorator that enforces something calls `describes` on the verb that it wraps. The
OpenAPI document is built from what the verbs have gathered.
"""

from ..errors import DETAILS

REQUEST_ID = {
    "type": "string",
    "description": "Finds this in our log.",
    "examples": ["5f2c9a1e7b3d4086"],
}
FAULT = {
    "title": "Fault",
    "type": "object",
    "properties": {
        "pointer": {
            "type": "string",
            "description": "Where (RFC 6901).",
            "examples": ["/name"],
        },
        "detail": {
            "type": "string",
            "description": "What is wrong there.",
            "examples": ["is required"],
        },
    },
    "required": ["pointer", "detail"],
}
PROBLEM = {
    "title": "Problem",
    "description": "What went wrong (RFC 9457).",
    "type": "object",
    "properties": {
        "type": {
            "type": "string",
            "format": "uri-reference",
            "description": "What kind of problem; about:blank: what `title` says.",
            "examples": ["about:blank"],
        },
        "title": {
            "type": "string",
            "description": "The status, in words.",
            "examples": ["Not Found"],
        },
        "status": {
            "type": "integer",
            "minimum": 400,
            "maximum": 599,
            "description": "The status, as in the status line.",
            "examples": [404],
        },
        "detail": {
            "type": "string",
            "description": "What went wrong this time.",
            "examples": [DETAILS[404]],
        },
        "request_id": REQUEST_ID,
        "errors": {
            "description": "Every fault of a body or a query at once.",
            "type": "array",
            "items": FAULT,
        },
    },
    "required": ["type", "title", "status", "detail", "request_id"],
}
PROBLEM["examples"] = [
    {
        name: schema["examples"][0]
        for name, schema in PROBLEM["properties"].items()
        if name != "errors"
    }
]


def header(description, required=True, **schema):
    """A header of a response; `schema`: its, that of text unless given."""
    schema = {"type": "string", **schema}
    return {"description": description, "required": required, "schema": schema}


HEADERS = {
    "X-Request-ID": header("Finds this request in our log."),
    "ETag": header("Changes when, and only when, this does (RFC 9110 §8.8.3)."),
    "Last-Modified": header("When it last changed (RFC 9110 §8.8.2)."),
    "Location": header("Where it stands.", format="uri"),
    "Link": header("The links of `meta` (RFC 8288)."),
    "Content-Disposition": header("What to call the file (RFC 6266)."),
    "Idempotent-Replayed": header(
        "Whether this is the first answer, once more.", False, enum=["true"]
    ),
    "WWW-Authenticate": header("How to sign in (RFC 9110 §11.6.1)."),
    "Retry-After": header("Seconds to wait.", type="integer", minimum=0),
    "X-RateLimit-Limit": header(
        "Calls in a window, where rate limits are on.", False, type="integer", minimum=1
    ),
    "X-RateLimit-Remaining": header(
        "Calls that are left of them.", False, type="integer", minimum=0
    ),
    "X-RateLimit-Reset": header(
        "The epoch second in which the next window begins.",
        False,
        type="integer",
        minimum=0,
    ),
}
# What every answer may carry, and what a problem carries besides.
ALWAYS = "X-Request-ID", *(name for name in HEADERS if "RateLimit" in name)
OF_PROBLEMS = {
    "401": ["WWW-Authenticate"],
    "429": ["Retry-After"],
    "503": ["Retry-After"],
}


# What a verb says of itself
def describes(verb, *, parameters=(), request_body=None, responses=None, **other):
    """Add to what the documents say of a verb; returns the verb.

    The parts are those of an OpenAPI 3.1 operation, with whole JSON Schemas in them.
    Parameters are appended and responses joined, status by status; of anything else
    (`security`, `deprecated`, …) the last word counts.
    """
    told = getattr(verb, "operation", {"parameters": [], "responses": {}})
    if request_body:
        other["requestBody"] = request_body
    answers = dict(told["responses"])
    for status, answer in (responses or {}).items():
        known = answers.get(status)
        answers[status] = joined(known, answer) if known else answer
    # A new dict, since functools.wraps shares the old one with the wrapped function.
    verb.operation = told | other
    verb.operation["parameters"] = [*told["parameters"], *parameters]
    verb.operation["responses"] = answers
    return verb


def joined(one, other):
    """Two descriptions of a response as one: both reasons, all headers and bodies."""
    both = other | one
    for part in ("headers", "content"):
        if part in both:
            both[part] = one.get(part, {}) | other.get(part, {})
    if other["description"] not in one["description"]:
        both["description"] = f"{one['description']} {other['description']}"
    return both


def carrying(*names):
    """The headers of a response, by their names in HEADERS."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def problem_response(description):
    """The OpenAPI response of an error; `description` says when it comes."""
    content = {"application/problem+json": {"schema": PROBLEM}}
    return {"description": description, "content": content}


def refuses(reasons):
    """Document what else a verb may answer: {status: why}, each a problem."""
    responses = {str(status): problem_response(why) for status, why in reasons.items()}
    return lambda verb: describes(verb, responses=responses)
