"""The OpenAPI 3.1 document of the service, and Swagger 2.0 of one feature."""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from flask import Flask
from flask_restx import Resource
from werkzeug.routing import Rule

from ...version import TITLE, __version__
from ..errors import DEFAULT_DETAILS, STATUS_TITLES
from ..schema.examples import example_of
from ..schema.fields import Schema
from ..schema.operation import (
    COMMON_HEADERS,
    FAULT_SCHEMA,
    PROBLEM_HEADERS,
    PROBLEM_SCHEMA,
    RESPONSE_HEADERS,
    header_refs,
    merge_responses,
    problem_spec,
)
from .components import extract_common_responses, extract_schemas
from .swagger2 import downgrade

DESCRIPTION = """\
Authenticate with a username and a password (HTTP Basic), or with an access token (Bearer).
Every error is a problem document (RFC 9457); quote its `request_id` if you ask for help.
"""
INFO = {
    "version": __version__,
    "description": DESCRIPTION,
    "contact": {"name": "The operator of this service"},
    "license": {"name": "MIT", "url": "https://spdx.org/licenses/MIT"},
}
BEARER = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
SECURITY_SCHEMES = {
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "A username and a password.",
    },
    "bearer": {**BEARER, "description": "An access token from a login."},
    "refresh": {
        **BEARER,
        "description": "A refresh token from a login; it can be used once.",
    },
}
HTTP_METHODS = ("get", "post", "put", "patch", "delete")
PATH_VARIABLE = re.compile(r"<(?:(?P<converter>\w+)(?:\(.*?\))?:)?(?P<name>\w+)>")
PATH_ID_SCHEMA = {
    "type": "integer",
    "minimum": 1,
    "maximum": 2**63 - 1,
    "description": "The `id` of the resource.",
}
# The errors of every operation.
GENERAL_RESPONSES = {
    "429": problem_spec("Too many requests, if rate limits are enabled."),
    "500": problem_spec("An internal error occurred."),
    "503": problem_spec("A dependency is unavailable."),
}

Document = dict[str, Any]  # an OpenAPI or Swagger document
Operation = dict[str, Any]


class DocumentedFeature(Protocol):
    """The attributes of a FeatureApi that are used here."""

    name: str
    description: str


def openapi(app: Flask) -> Document:
    """Return the OpenAPI 3.1 document of the whole service.

    Raises ValueError if two operations share an id, or two different schemas a title.
    """
    return build_document(app, app.extensions["features"], TITLE)


def swagger(app: Flask, feature: DocumentedFeature) -> Document:
    """Return the Swagger 2.0 document of one feature."""
    return downgrade(build_document(app, [feature], f"{TITLE}: {feature.name}"))


def build_document(
    app: Flask, features: Iterable[DocumentedFeature], title: str
) -> Document:
    """Return the OpenAPI 3.1 document of some features; see `openapi`."""
    paths: dict[str, dict[str, Operation]] = {}
    schemas: dict[str, Schema] = {}
    copies: dict[int, tuple[Schema, Schema]] = {}
    ids: set[str] = set()
    for path, verb, operation in iter_operations(app, features):
        if operation["operationId"] in ids:
            raise ValueError(f"two operations have the id {operation['operationId']}")
        ids.add(operation["operationId"])
        paths.setdefault(path, {})[verb] = extract_schemas(operation, schemas, copies)
    for path in paths:
        add_links(path, paths)
    responses = extract_common_responses(paths)
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
            "headers": RESPONSE_HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def iter_operations(
    app: Flask, features: Iterable[DocumentedFeature]
) -> Iterator[tuple[str, str, Operation]]:
    """Yield (path, verb, operation) for each documented verb of these features."""
    names = {feature.name for feature in features}
    for rule in app.url_map.iter_rules():
        name = rule.endpoint.partition(".")[0]
        view = getattr(app.view_functions.get(rule.endpoint), "view_class", object)
        if name not in names or not issubclass(view, Resource):
            continue
        path = path_of(rule)
        for verb in HTTP_METHODS:
            function: Any = getattr(view, verb, None)
            if not hasattr(function, "operation"):
                continue
            # The first line of the docstring, and the rest.
            summary, _, details = (inspect.getdoc(function) or "").partition("\n")
            yield path, verb, {
                "tags": [name],
                "operationId": operation_id(app, verb, path),
                "summary": summary.rstrip("."),
                "description": details.strip() or summary,
                "security": [],
                **function.operation,
                **parameters_and_responses(rule, function.operation),
            }


def path_of(rule: Rule) -> str:
    """Return the path of a rule in OpenAPI syntax: `/users/{id}`.

    The trailing slash of a collection is left out; the service accepts both forms.
    """
    return PATH_VARIABLE.sub(r"{\g<name>}", rule.rule).rstrip("/")


def parameters_and_responses(rule: Rule, operation: Operation) -> dict[str, Any]:
    """Return the parameters of an operation with those of its path, and its responses with
    the GENERAL ones."""
    variables = [
        {
            "name": variable["name"],
            "in": "path",
            "required": True,
            "schema": (
                PATH_ID_SCHEMA if variable["converter"] == "int" else {"type": "string"}
            ),
        }
        for variable in PATH_VARIABLE.finditer(rule.rule)
    ]
    responses = dict(operation["responses"])
    if variables:
        responses.setdefault("404", problem_spec("Not found."))
    for status, general in GENERAL_RESPONSES.items():
        specific = responses.get(status)
        responses[status] = merge_responses(specific, general) if specific else general
    return {
        "parameters": variables + operation["parameters"],
        "responses": {
            s: with_common_headers(s, responses[s]) for s in sorted(responses)
        },
    }


def with_common_headers(status: str, response: dict[str, Any]) -> dict[str, Any]:
    """Return a response with its common headers, and an error with its example."""
    names = [*response.get("headers", ()), *COMMON_HEADERS]
    media, content = "application/problem+json", response.get("content", {})
    if media in content:
        names += PROBLEM_HEADERS.get(status, ())
        if content[media]["schema"] is PROBLEM_SCHEMA:
            described = content[media] | {"example": example_problem(int(status))}
            response = response | {"content": content | {media: described}}
    return response | {"headers": header_refs(*names)}


def example_problem(status: int) -> dict[str, Any]:
    """Return an example of the error body of a status."""
    problem = {
        **example_of(PROBLEM_SCHEMA),
        "title": STATUS_TITLES[status],
        "status": status,
        "detail": DEFAULT_DETAILS[status],
    }
    if status == 400:
        problem["errors"] = [{"pointer": "", "detail": problem["detail"]}]
    if status == 422:
        problem["errors"] = [example_of(FAULT_SCHEMA)]
    return problem


def operation_id(app: Flask, verb: str, path: str) -> str:
    """Return the operationId of a path and a verb, such as `putUsersById`.

    Client generators use it as a method name. It has no underscores, because Swagger UI
    replaces them with spaces in its links.
    """
    below = path.removeprefix(app.config["API_PREFIX"]).replace("{", "by_")
    words = re.findall(r"[^\W_]+", below)
    return verb + "".join(word[0].upper() + word[1:] for word in words)


def add_links(path: str, paths: dict[str, dict[str, Operation]]) -> None:
    """Add OpenAPI links to the responses of `path` that create or list resources.

    They lead to the operations on one such resource: those whose path continues `path`
    with a variable, and those with a variable of its name, as `role_id` for `roles`.
    """
    singular = path.rpartition("/")[2].removesuffix("s")
    variable = re.compile(
        rf"{re.escape(path)}/{{(\w+)}}[^{{]*|[^{{]*{{({singular}_id)}}[^{{]*"
    )
    own = {name: f"$request.path.{name}" for name in re.findall(r"{(\w+)}", path)}
    links = {}
    for target, verbs in paths.items():
        if match := variable.fullmatch(target):
            for operation in verbs.values():
                links[operation["operationId"]] = match[1] or match[2]
    if not links:
        return
    for operation in paths[path].values():
        places = {"201": "/id", "202": "/id"}
        if any(parameter["name"] == "page" for parameter in operation["parameters"]):
            places["200"] = "/items/0/id"
        for status in places.keys() & operation["responses"].keys():
            operation["responses"][status]["links"] = {
                id: {
                    "operationId": id,
                    "parameters": {
                        **own,
                        name: f"$response.body#{places[status]}",
                    },
                }
                for id, name in links.items()
            }
