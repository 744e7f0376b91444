"""The documents: OpenAPI 3.1 of the whole, Swagger 2.0 of each slice, Swagger UI.

No address, parameter, body or answer is described here. Whatever enforces one calls
`describes` on the verb that it guards; at start the app is read, and what its verbs
have gathered becomes the document.
"""

import inspect
import re
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import flask_swagger_ui
import orjson
from flask import Blueprint, Response, abort, current_app, redirect
from flask import render_template, request, url_for
from flask_restx import Resource

from .compression import coded, coding
from .swagger import downgrade, inside
from .version import __version__

TITLE = "Smart device registry"
DESCRIPTION = """\
Registers smart devices, hears their heartbeats, and keeps the household's to-dos.

Sign in with a username and a password (HTTP Basic), or with an access token (Bearer).
Every error is a problem (RFC 9457); quote its `request_id` when you ask for help.
"""
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
}
VERBS = ("get", "post", "put", "patch", "delete")
VARIABLE = re.compile(r"<(?:(?P<converter>\w+)(?:\(.*?\))?:)?(?P<name>\w+)>")
ID = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
PROBLEM = {
    "title": "Problem",
    "description": "What went wrong (RFC 9457).",
    "type": "object",
    "properties": {
        "type": {
            "type": "string",
            "format": "uri-reference",
            "description": "What kind of problem; about:blank: what `title` says.",
        },
        "title": {"type": "string", "description": "The status, in words."},
        "status": {
            "type": "integer",
            "minimum": 400,
            "maximum": 599,
            "description": "The status, as in the status line.",
        },
        "detail": {"type": "string", "description": "What went wrong this time."},
        "request_id": {"type": "string", "description": "Finds this in our log."},
        "errors": {
            "description": "Every fault of a body or a query at once.",
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string", "description": "Where (RFC 6901)."},
                    "detail": {"type": "string", "description": "What is wrong there."},
                },
                "required": ["pointer", "detail"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "request_id"],
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
        answers[status] = (
            joined(answers[status], answer) if status in answers else answer
        )
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


def problem_response(description):
    """The OpenAPI response of an error; `description` says when it comes."""
    content = {"application/problem+json": {"schema": PROBLEM}}
    return {"description": description, "content": content}


# The documents


def refuses(reasons):
    """Document what else a verb may answer: {status: why}, each a problem."""
    responses = {str(status): problem_response(why) for status, why in reasons.items()}
    return lambda verb: describes(verb, responses=responses)


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
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "description": DESCRIPTION, "version": __version__},
        "servers": [{"url": "/"}],
        "tags": [
            {"name": feature.name, "description": feature.description}
            for feature in features
        ],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": SECURITY_SCHEMES},
    }


def operations(app, features):
    """Yield (path, verb, operation) for each described verb of these features."""
    names = {feature.name for feature in features}
    for rule in app.url_map.iter_rules():
        name = rule.endpoint.partition(".")[0]
        view = getattr(app.view_functions.get(rule.endpoint), "view_class", object)
        if name not in names or not issubclass(view, Resource):
            continue
        path = VARIABLE.sub(r"{\g<name>}", rule.rule)
        for verb in VERBS:
            function = getattr(view, verb, None)
            if hasattr(function, "operation"):
                yield path, verb, function.operation | {
                    "tags": [name],
                    "operationId": operation_id(app, verb, path),
                    **wording(function),
                    **addressed(rule, function.operation),
                }


def wording(function):
    """The first line of a docstring as an operation's summary, the rest beside it."""
    summary, _, details = (inspect.getdoc(function) or "").partition("\n")
    return {"summary": summary.rstrip("."), "description": details.strip()}


def addressed(rule, operation):
    """The parameters and responses of an operation with those that its address adds."""
    variables = [
        {
            "name": variable["name"],
            "in": "path",
            "required": True,
            "schema": ID if variable["converter"] == "int" else {"type": "string"},
        }
        for variable in VARIABLE.finditer(rule.rule)
    ]
    responses = operation["responses"]
    if variables:
        responses = {"404": problem_response("There is no such thing.")} | responses
    return {
        "parameters": variables + operation["parameters"],
        "responses": dict(sorted(responses.items())),
    }


def operation_id(app, verb, path):
    """A name for generated clients, as `get_devices_by_id_report`."""
    below = path.removeprefix(app.config["API_PREFIX"])
    return "_".join([verb, *re.findall(r"\w+", below.replace("{", "by_"))])


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
    schema = inside(schema, lambda part: reference(part, schemas))
    if "title" not in schema:
        return schema
    name = re.sub(r"[^\w.-]", "", schema["title"])
    if schemas.setdefault(name, schema) != schema:
        raise ValueError(f"two schemas are called {name}")
    return {"$ref": f"#/components/schemas/{name}"}


# What a browser sees

WHEEL = Path(flask_swagger_ui.__file__).parent / "dist"
OURS = Path(__file__).parent / "static"
FILES = {
    "swagger-ui-bundle.js": WHEEL,
    "swagger-ui.css": WHEEL,
    "docs.js": OURS,
    "docs.css": OURS,
    "docs.svg": OURS,
}
CONTENTS = {name: (folder / name).read_bytes() for name, folder in FILES.items()}
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
STAMP = sha256(b"".join(CONTENTS.values())).hexdigest()[:12]
YEAR = 365 * 24 * 60 * 60  # seconds
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

docs = Blueprint("docs", __name__)


@docs.route("/")
def home():
    return redirect(url_for("docs.ui"))


@docs.route("/docs/")
def ui():
    return ui_page()


@docs.route("/docs/json/")
@docs.route("/openapi.json")
def whole():
    return json_response(current_app)


@docs.route("/docs/<stamp>/<name>")
def file(stamp, name):
    """A file of the page. The stamp changes with any of them: keep it for a year."""
    if name not in FILES:
        abort(404)
    today = stamp == STAMP
    caching = f"public, immutable, max-age={YEAR}" if today else "no-cache"
    return built_response(CONTENTS[name], TYPES[Path(name).suffix], caching)


def ui_page(feature=None):
    """Swagger UI over the document of a slice, or of all; no file from another host."""
    page = render_template(
        "docs.html",
        title=TITLE,
        current=feature,
        features=current_app.extensions["features"],
        stamp=STAMP,
    )
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    return Response(page, headers=headers)


def swagger_response(app, feature):
    """The response with a slice's Swagger 2.0."""
    return json_response(app, feature)


def json_response(app, feature=None):
    """The response with the document of a slice, or of all; 304 to whoever has it."""
    return built_response(serialised(app, feature), "application/json", "no-cache")


def built_response(data, mimetype, caching):
    """The response with what was built once, compressed; 304 to whoever has it.

    `caching`: its Cache-Control.
    """
    used = coding()
    data, tag = prepared(data, used)
    headers = {"Vary": "Accept-Encoding", "Cache-Control": caching, "ETag": f'"{tag}"'}
    if used:
        headers["Content-Encoding"] = used
    response = Response(data, mimetype=mimetype, headers=headers)
    if "HTTP_IF_NONE_MATCH" in request.environ:
        response.make_conditional(request)
    return response


@lru_cache(100)
def prepared(data, used):
    """Bytes in a coding, or in none, and their ETag."""
    data = coded(data, used) if used else data
    return data, sha256(data).hexdigest()[:24]


def serialised(app, feature=None):
    """The document of a slice, or of all, as JSON; built once per app."""
    kept = app.extensions.setdefault("docs", {})
    name = feature and feature.name
    if name not in kept:
        kept[name] = orjson.dumps(swagger(app, feature) if feature else openapi(app))
    return kept[name]


def check(app):
    """Build the document now, so that a mistake in it stops the start."""
    serialised(app)
