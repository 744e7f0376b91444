"""The OpenAPI 3.1 document of the service, and Swagger 2.0 of one feature."""

import inspect
import re

from flask_restx import Resource

from ...version import TITLE, __version__
from ..errors import DETAILS, TITLES
from ..schema.examples import example_of
from ..schema.operation import (
    ALWAYS,
    FAULT,
    HEADERS,
    OF_PROBLEMS,
    PROBLEM,
    carrying,
    joined,
    problem_response,
)
from .components import shared, with_references
from .swagger2 import downgrade

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
    paths, schemas, copies, ids = {}, {}, {}, set()
    for path, verb, operation in operations(app, features):
        if operation["operationId"] in ids:
            raise ValueError(f"two operations are called {operation['operationId']}")
        ids.add(operation["operationId"])
        paths.setdefault(path, {})[verb] = with_references(operation, schemas, copies)
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
