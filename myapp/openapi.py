"""What the verbs say of themselves, as OpenAPI 3.1 of the whole and Swagger 2.0 of a slice.

No address, parameter, body or answer is described here. Whatever enforces one calls
`describes` on the verb that it guards; at start the app is read, and what its verbs
have gathered becomes the document.
"""

import inspect
import re
from collections import defaultdict

from flask_restx import Resource

from .problems import DETAILS, TITLES
from .swagger import downgrade, inside
from .version import __version__

TITLE = "Smart device registry"
DESCRIPTION = """\
Sign in with a username and a password (HTTP Basic), or with an access token (Bearer).
Every error is a problem (RFC 9457); quote its `request_id` when you ask for help.
"""
INFO = {
    "version": __version__,
    "description": DESCRIPTION,
    "contact": {"name": "Whoever runs this service"},
    "license": {"name": "MIT", "url": "https://spdx.org/licenses/MIT"},
}
SECURITY_SCHEMES = {
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "A username and a password.",
    },
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token, as a login gives it.",
    },
    "refresh": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A refresh token, as a login gives it; it works once.",
    },
}
VERBS = ("get", "post", "put", "patch", "delete")
VARIABLE = re.compile(r"<(?:(?P<converter>\w+)(?:\(.*?\))?:)?(?P<name>\w+)>")
ID = {
    "type": "integer",
    "minimum": 1,
    "maximum": 2**63 - 1,
    "description": "The `id` of the thing.",
}
REFERS = "x-references"  # of a property: whose ids it takes, as the last of an address
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


# What any verb may answer.
GENERAL = {
    "429": problem_response("Too many calls, where rate limits are on."),
    "500": problem_response("Something went wrong on our side."),
    "503": problem_response("A part that this needs is down."),
}


# The documents


def openapi(app):
    """The whole service as one OpenAPI 3.1 document, a dict.

    Raises ValueError where two operations share an id, or two schemas a title.
    """
    return document(app, app.extensions["features"], TITLE)


def swagger(app, feature):
    """One slice as a Swagger 2.0 document, a dict."""
    return downgrade(document(app, [feature], f"{TITLE}: {feature.name}"))


def document(app, features, title):
    """These features of an app as an OpenAPI 3.1 document; see `openapi`."""
    paths, schemas, ids = {}, {}, set()
    for path, verb, operation in operations(app, features):
        if operation["operationId"] in ids:
            raise ValueError(f"two operations are called {operation['operationId']}")
        ids.add(operation["operationId"])
        paths.setdefault(path, {})[verb] = with_references(operation, schemas)
    for path in paths:
        link(path, paths)
    responses = shared(paths)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, **INFO},
        "servers": [{"url": "/"}],
        "tags": [
            {"name": feature.name, "description": feature.description}
            for feature in features
        ],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses,
            "headers": HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def operations(app, features):
    """Yield (path, verb, operation) for each described verb of these features."""
    names = {feature.name for feature in features}
    for rule in app.url_map.iter_rules():
        name = rule.endpoint.partition(".")[0]
        view = getattr(app.view_functions.get(rule.endpoint), "view_class", object)
        if name not in names or not issubclass(view, Resource):
            continue
        path = path_of(rule)
        for verb in VERBS:
            function = getattr(view, verb, None)
            if hasattr(function, "operation"):
                yield path, verb, {
                    "tags": [name],
                    "operationId": operation_id(app, verb, path),
                    **wording(function),
                    "security": [],
                    **function.operation,
                    **addressed(rule, function.operation),
                }


def path_of(rule):
    """The address of a rule as documents write it: `/users/{id}`. A collection answers
    without its slash, too, and linters want it so."""
    return VARIABLE.sub(r"{\g<name>}", rule.rule).rstrip("/")


def wording(function):
    """A docstring as an operation's summary, its first line, and its description."""
    text = inspect.getdoc(function) or ""
    summary, _, details = text.partition("\n")
    return {"summary": summary.rstrip("."), "description": details.strip() or summary}


def addressed(rule, operation):
    """The parameters of an operation with those that its address adds, and its responses
    with those that any may give."""
    variables = [
        {
            "name": variable["name"],
            "in": "path",
            "required": True,
            "schema": ID if variable["converter"] == "int" else {"type": "string"},
        }
        for variable in VARIABLE.finditer(rule.rule)
    ]
    responses = dict(operation["responses"])
    if variables:
        responses.setdefault("404", problem_response("There is no such thing."))
    for status, general in GENERAL.items():
        known = responses.get(status)
        responses[status] = joined(known, general) if known else general
    return {
        "parameters": variables + operation["parameters"],
        "responses": {s: answering(s, responses[s]) for s in sorted(responses)},
    }


def answering(status, response):
    """A response with the headers that each carries; a problem with its example, too."""
    names = [*response.get("headers", ()), *ALWAYS]
    response = dict(response)
    if "application/problem+json" in response.get("content", ()):
        names += OF_PROBLEMS.get(status, ())
        response["content"] = {
            media: (
                {**described, "example": example_problem(int(status))}
                if described["schema"] is PROBLEM
                else described
            )
            for media, described in response["content"].items()
        }
    response["headers"] = carrying(*names)
    return response


def example_problem(status):
    """A problem of that status, as problems.py would write it."""
    problem = {
        **PROBLEM["examples"][0],
        "title": TITLES[status],
        "status": status,
        "detail": DETAILS[status],
    }
    if status == 400:
        problem["errors"] = [{"pointer": "", "detail": problem["detail"]}]
    if status == 422:
        problem["errors"] = [example_of(FAULT)]
    return problem


def operation_id(app, verb, path):
    """A name for generated clients, as `putUsersById`. Without an underscore, for
    Swagger UI would take that for a blank in a link."""
    below = path.removeprefix(app.config["API_PREFIX"]).replace("{", "by_")
    words = re.findall(r"[^\W_]+", below)
    return verb + "".join(word[0].upper() + word[1:] for word in words)


def link(path, paths):
    """Tell, where things are made or listed at `path`, what can be done with one.

    That is what stands below it, and what has the thing's name in its address: below
    `roles`, and where there is a `{role_id}`.
    """
    singular = path.rpartition("/")[2].removesuffix("s")
    variable = re.compile(
        rf"{re.escape(path)}/{{(\w+)}}[^{{]*|[^{{]*{{({singular}_id)}}[^{{]*"
    )
    around = {name: f"$request.path.{name}" for name in re.findall(r"{(\w+)}", path)}
    links = {}
    for below, verbs in paths.items():
        if found := variable.fullmatch(below):
            for operation in verbs.values():
                links[operation["operationId"]] = found[1] or found[2]
    for operation in paths[path].values():
        places = {"201": "/id", "202": "/id"}
        if any(known["name"] == "page" for known in operation["parameters"]):
            places["200"] = "/items/0/id"
        for status in places.keys() & operation["responses"].keys() if links else ():
            operation["responses"][status]["links"] = {
                id: {
                    "operationId": id,
                    "parameters": {
                        **around,
                        name: f"$response.body#{places[status]}",
                    },
                }
                for id, name in links.items()
            }


def shared(paths):
    """Of each kind of problem the response that most slices give, and of those the one that
    most operations do, by its title; in their place, these refer to it.

    What one slice alone says would be the usual until the next slice comes, and then be
    written out in each of its operations.
    """
    given = defaultdict(lambda: defaultdict(list))
    for verbs in paths.values():
        for operation in verbs.values():
            for status, response in operation["responses"].items():
                if status >= "400":
                    alike = given[status][response["description"]]
                    alike.append((response, operation))

    def spread(pairs):
        return len({operation["tags"][0] for _, operation in pairs}), len(pairs)

    found = {}
    for status, by_words in sorted(given.items()):
        pairs = max(by_words.values(), key=spread)
        usual, _ = pairs[0]
        name = re.sub(r"\W", "", TITLES[int(status)])
        found[name] = usual
        for response, operation in pairs:
            if response == usual:
                operation["responses"][status] = {
                    "$ref": f"#/components/responses/{name}"
                }
    return found


def with_references(part, schemas):
    """A copy of part of an operation, its titled schemas moved to `schemas`."""
    if isinstance(part, list):
        return [with_references(each, schemas) for each in part]
    if not isinstance(part, dict):
        return part
    return {
        key: (
            reference(value, schemas)
            if key == "schema"
            else with_references(value, schemas)
        )
        for key, value in part.items()
    }


def reference(schema, schemas):
    """A schema, or the $ref to it if it has a title; the same for those inside it."""
    if "properties" in schema and "title" in schema:
        schema = {"examples": [example_of(schema)]} | schema
    schema = inside(schema, lambda part: reference(part, schemas))
    if "title" not in schema:
        return schema
    name = re.sub(r"[^\w.-]", "", schema["title"])
    if schemas.setdefault(name, schema) != schema:
        raise ValueError(f"two schemas are called {name}")
    return {"$ref": f"#/components/schemas/{name}"}


def example_of(schema):
    """A value that fits a schema: its example where it has one, else one made of what
    stands in it; of an object what cannot be left out, or all where all can."""
    if schema.get("examples"):
        return schema["examples"][0]
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    if "enum" in schema:
        return schema["enum"][0]
    if "properties" in schema:
        names = schema.get("required") or schema["properties"]
        return {name: example_of(schema["properties"][name]) for name in names}
    kind = schema.get("type")
    kind = kind if isinstance(kind, str) else next(iter(kind or ["null"]))
    if kind == "array":
        return [example_of(schema["items"])]
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    return {"boolean": True, "object": {}, "string": "text"}.get(kind)
