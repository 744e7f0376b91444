"""Convert the OpenAPI document to a Postman collection (format 2.1) with an environment.

Ids and tokens in responses are saved as variables, and later requests use them. So each
folder of the collection can be run as it is, from top to bottom.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from werkzeug.http import HTTP_STATUS_CODES

from ..schema.examples import example_of
from ..schema.fields import X_REFERENCES, Schema

COLLECTION_SCHEMA = (
    "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
)
# The order of requests, after those that create: read, change, delete.
VERB_ORDER = ("post", "get", "put", "patch", "delete")
# the folder that deletes the account in the end, so it comes last
ACCOUNT_FOLDER = "account"
HEADER_VALUES = {
    "If-Match": "{{etag}}",
    "If-None-Match": "{{etag}}",
    "Idempotency-Key": "{{$guid}}",
}

Document = dict[str, Any]  # the OpenAPI document
Operation = dict[str, Any]
Item = dict[str, Any]  # a part of the collection
Variables = dict[tuple[str, str], str]  # by operationId and parameter


def build_environment(name: str, base_url: str) -> Item:
    """Return a Postman environment: the address of the service and the credentials."""
    values = {"base_url": base_url, "username": "", "password": ""}
    return {
        "name": name,
        "values": [
            {
                "key": key,
                "value": value,
                "type": "secret" if key == "password" else "default",
                "enabled": True,
            }
            for key, value in values.items()
        ],
        "_postman_variable_scope": "environment",
    }


def build_collection(document: Document) -> Item:
    """Return the Postman collection of an OpenAPI 3.1 document."""
    info, ids = document["info"], id_variables(document)
    return {
        "info": {
            "name": info["title"],
            "version": info["version"],
            "description": info["description"],
            "schema": COLLECTION_SCHEMA,
        },
        "auth": auth_settings("basic"),
        "event": test_event(CHECK_SCRIPT),
        "item": [
            {
                "name": tag["name"],
                "description": " ".join(
                    [tag["description"], *prerequisites(tag, document)]
                ),
                "item": [
                    build_request(path, verb, operation, document, ids)
                    for path, verb, operation in sorted_operations(
                        document, tag["name"]
                    )
                ],
            }
            for tag in sorted(
                document["tags"], key=lambda tag: tag["name"] == ACCOUNT_FOLDER
            )
        ],
    }


def prerequisites(tag: dict[str, Any], document: Document) -> Iterator[str]:
    """Yield a sentence for each request of another folder that must run first.

    These create the resources that the requests of this folder act on or refer to.
    """
    own: set[str] = set()
    named: set[str] = set()
    for _, _, operation in sorted_operations(document, tag["name"]):
        own.add(operation["operationId"])
        if "requestBody" in operation:
            named.update(reference_variables(body_of(operation, document)[1]).values())
    for path, verbs in document["paths"].items():
        for operation in verbs.values():
            about = {link["operationId"] for link in links_of(operation)}
            if (
                creates(operation)
                and tag["name"] not in operation["tags"]
                and (about & own or id_variable(path) in named)
            ):
                yield f"Run “{operation['summary']}” first."


def body_of(operation: Operation, document: Document) -> tuple[str, Schema]:
    """Return the media type and the schema of the request body."""
    media, content = next(iter(operation["requestBody"]["content"].items()))
    return media, resolve_schema(content["schema"], document)


def reference_variables(schema: Schema) -> dict[str, str]:
    """Return the required references of a body: {property: variable with the id}."""
    return {
        name: id_variable(schema["properties"][name][X_REFERENCES])
        for name in schema.get("required", ())
        if X_REFERENCES in schema["properties"][name]
    }


def sorted_operations(document: Document, tag: str) -> list[tuple[str, str, Operation]]:
    """Return the operations of a tag, those that create first, those that delete last."""
    operations = [
        (path, verb, operation)
        for path, verbs in document["paths"].items()
        for verb, operation in verbs.items()
        if tag in operation["tags"]
    ]
    return sorted(
        operations, key=lambda one: (not creates(one[2]), VERB_ORDER.index(one[1]))
    )


def creates(operation: Operation) -> bool:
    """Return True if the operation creates a resource."""
    return bool({"201", "202"} & operation["responses"].keys())


def build_request(
    path: str, verb: str, operation: Operation, document: Document, ids: Variables
) -> Item:
    """Return one request of the collection; `ids`: see `id_variables`."""
    parameters: dict[str, list[dict[str, Any]]] = {
        "path": [],
        "query": [],
        "header": [],
    }
    for parameter in operation["parameters"]:
        parameters[parameter["in"]].append(parameter)
    headers: list[Item] = [
        {
            **parameter_entry(each),
            "value": HEADER_VALUES.get(each["name"], ""),
            "disabled": True,
        }
        for each in parameters["header"]
    ]
    address = path.replace("{", ":").replace("}", "")
    request: Item = {
        "method": verb.upper(),
        "description": operation["description"],
        "header": headers,
        "url": {
            "raw": "{{base_url}}" + address,
            "host": ["{{base_url}}"],
            "path": address.strip("/").split("/"),
            "query": [
                {**parameter_entry(each), "value": "", "disabled": True}
                for each in parameters["query"]
            ],
            "variable": [
                {
                    **parameter_entry(each),
                    "value": "{{%s}}" % ids[operation["operationId"], each["name"]],
                }
                for each in parameters["path"]
            ],
        },
    }
    if "requestBody" in operation:
        media, schema = body_of(operation, document)
        if schema["type"] == "object":
            language, raw = "json", example_body(operation, schema)
        else:
            language, raw = "text", example_of(schema)
        options = {"raw": {"language": language}}
        request["body"] = {"mode": "raw", "raw": raw, "options": options}
        headers.insert(0, {"key": "Content-Type", "value": media})
    schemes = {name for choice in operation["security"] for name in choice}
    if operation["operationId"] == "postAuthLogout":
        request["auth"] = auth_settings("bearer")  # the session of this token ends
    elif "basic" not in schemes:
        request["auth"] = auth_settings(*schemes) if schemes else {"type": "noauth"}
    return {
        "name": operation["summary"],
        "request": request,
        "event": test_event(id_script(path, operation, ids)),
        "response": list(examples(request, operation, document)),
    }


def examples(request: Item, operation: Operation, document: Document) -> Iterator[Item]:
    """Yield an example of each successful JSON response, for mock servers."""
    for status, response in operation["responses"].items():
        for media, described in response.get("content", {}).items():
            if status < "300" and media.endswith("json"):
                body = example_of(resolve_schema(described["schema"], document))
                yield {
                    "name": response["description"],
                    "originalRequest": request,
                    "code": int(status),
                    "status": HTTP_STATUS_CODES[int(status)],
                    "header": [{"key": "Content-Type", "value": media}],
                    "body": json.dumps(body, indent=2, ensure_ascii=False),
                }


def example_body(operation: Operation, schema: Schema) -> str:
    """Return an example of a request body as JSON, with variables where needed.

    Variables stand for the credentials, for the ids of resources that another folder has
    created, and for the changing part of unique values.
    """
    example = example_of(schema)
    properties, variables = schema["properties"], reference_variables(schema)
    if (
        operation["operationId"] == "postAuthLogin"
        or ACCOUNT_FOLDER in operation["tags"]
    ):
        values = {"username": "{{username}}", "password": "{{password}}"}
    else:
        values = {name: "{{%s}}" % variable for name, variable in variables.items()}
        conflict = operation["responses"].get("409", {}).get("description", "")
        unique = re.findall(r"The (\w+) is (?:already )?taken", conflict)
        for name in unique if creates(operation) else ():
            if type(example.get(name)) is str and "format" not in properties[name]:
                values[name] = unique_text(example[name], **properties[name])
    body = {
        name: values.get(name, value)
        for name, value in example.items()
        if name in variables or X_REFERENCES not in properties[name]
    }
    text = json.dumps(body, indent=2, ensure_ascii=False)
    for variable in variables.values():  # an id is a number, so without quotes
        text = text.replace('"{{%s}}"' % variable, "{{%s}}" % variable)
    return text


def unique_text(
    example: str, minLength: int = 0, maxLength: int = 255, **_: Any
) -> str:
    """Return a text that is different in each run, of an allowed length."""
    if len(example) + 37 <= maxLength:  # a hyphen and a UUID
        return f"{example}-{{{{$guid}}}}"
    return "{{$randomAlphaNumeric}}" * max(minLength, min(maxLength, 12))


def parameter_entry(parameter: dict[str, Any]) -> Item:
    """Return the key and the description of a parameter."""
    return {"key": parameter["name"], "description": parameter.get("description", "")}


def auth_settings(way: str) -> Item:
    """Return the authentication of a request by one of our security schemes."""
    if way == "basic":
        values = {"username": "{{username}}", "password": "{{password}}"}
        kind = "basic"
    else:
        token = "refresh_token" if way == "refresh" else "access_token"
        values, kind = {"token": "{{%s}}" % token}, "bearer"
    return {
        "type": kind,
        kind: [{"key": k, "value": v, "type": "string"} for k, v in values.items()],
    }


def id_variables(document: Document) -> Variables:
    """Return the variable with the value of each path parameter of an operation.

    It holds the id from the response that creates such a resource or, without one, from
    the response that lists them.
    """
    sources = [
        (path, operation)
        for path, verbs in document["paths"].items()
        for operation in verbs.values()
    ]
    # By default, the variable is named after the path in front of the parameter.
    variables = {
        (operation["operationId"], match[1]): id_variable(path[: match.start()])
        for path, operation in sources
        for match in re.finditer(r"/{(\w+)}", path)
    }
    for path, operation in sorted(sources, key=lambda source: creates(source[1])):
        for link in links_of(operation):
            variables[link["operationId"], link_parameter(link)] = id_variable(path)
    return variables


def link_parameter(link: dict[str, Any]) -> str:
    """Return the parameter of a link that comes from the response body."""
    return list(link["parameters"])[-1]


def id_variable(path: str) -> str:
    """Return the variable with the id of a resource created or listed at `path`."""
    return f"{path.rpartition('/')[2]}_id"


def links_of(operation: Operation) -> list[dict[str, Any]]:
    """Return the OpenAPI links of all responses."""
    return [
        link
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]


def id_script(path: str, operation: Operation, ids: Variables) -> Iterator[str]:
    """Yield the lines of a script that saves the id from the response, if it is used.

    After a deletion, the script removes the id instead.
    """
    # the variable with the id of the resource
    own = id_variable(path.rpartition("/")[0])
    if operation["operationId"].startswith("delete") and own in ids.values():
        yield f'pm.collectionVariables.unset("{own}");'
    variable = id_variable(path)
    for link in links_of(operation)[: variable in ids.values()]:
        place = link["parameters"][link_parameter(link)]
        yield f'const variable = "{variable}";'
        if place.endswith("/items/0/id"):
            # A resource that this run has created takes precedence.
            yield "const first = pm.response.json().items?.[0];"
            yield "if (first && !pm.collectionVariables.get(variable))"
            yield "  pm.collectionVariables.set(variable, first.id);"
        else:
            yield "if (pm.response.code < 300)"
            yield "  pm.collectionVariables.set(variable, pm.response.json().id);"


# The script after each request.
CHECK_SCRIPT = """\
pm.test("The request succeeds", () => {
  pm.expect(pm.response.code).to.be.below(400);
});
let body = {};
try {
  body = pm.response.json();
} catch {
  // not JSON
}
for (const name of ["access_token", "refresh_token"]) {
  if (body[name]) pm.collectionVariables.set(name, body[name]);
}
if (body.id) pm.collectionVariables.set("etag", pm.response.headers.get("ETag"));
""".splitlines()


def test_event(lines: Iterable[str]) -> list[Item]:
    """Return the event that runs these lines of script after a request."""
    return [{"listen": "test", "script": {"type": "text/javascript", "exec": [*lines]}}]


def resolve_schema(schema: Schema, document: Document) -> Schema:
    """Return the schema, or the one that it refers to."""
    if "$ref" not in schema:
        return schema
    return document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
