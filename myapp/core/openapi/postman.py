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
from .components import resolve

COLLECTION_SCHEMA = (
    "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
)
# The order of requests, after those that create: read, change, delete.
VERB_ORDER = ("post", "get", "put", "patch", "delete")
HEADER_VALUES = {
    "If-Match": "{{etag}}",
    "If-None-Match": "{{etag}}",
    "Idempotency-Key": "{{$guid}}",
}
CREDENTIALS = {"username": "{{username}}", "password": "{{password}}"}
AUTHENTICATION = {  # Postman's type and values for each of our security schemes
    "basic": ("basic", CREDENTIALS),
    "bearer": ("bearer", {"token": "{{access_token}}"}),
    "refresh": ("bearer", {"token": "{{refresh_token}}"}),
}

Document = dict[str, Any]  # the OpenAPI document
Operation = dict[str, Any]  # see `list_operations`
Item = dict[str, Any]  # a part of the collection
Variables = dict[tuple[str, str], str]  # by operationId and parameter


def build_environment(name: str, base_url: str) -> Item:
    """Return a Postman environment: the address of the service and the credentials."""
    values = [
        {"key": "base_url", "value": base_url, "type": "default", "enabled": True},
        {"key": "username", "value": "", "type": "default", "enabled": True},
        {"key": "password", "value": "", "type": "secret", "enabled": True},
    ]
    return {"name": name, "values": values, "_postman_variable_scope": "environment"}


def build_collection(document: Document) -> Item:
    """Return the Postman collection of an OpenAPI 3.1 document."""
    info, operations = document["info"], list_operations(document)
    ids = id_variables(operations)
    final_tags = {
        operation["tags"][0]
        for operation in operations
        if operation["verb"] == "delete" and operation["on_caller"]
    }
    folders = []
    # A folder that deletes the account of the caller comes last.
    for tag in sorted(document["tags"], key=lambda tag: tag["name"] in final_tags):
        own = [each for each in operations if tag["name"] in each["tags"]]
        sentences = [tag["description"], *prerequisites(own, operations, ids)]
        requests = [build_request(each, document, ids) for each in own]
        description = " ".join(sentences)
        folders.append({**tag, "description": description, "item": requests})
    return {
        "info": {
            "name": info["title"],
            "version": info["version"],
            "description": info["description"],
            "schema": COLLECTION_SCHEMA,
        },
        "auth": authentication("basic"),
        "event": test_event(CHECK_SCRIPT),
        "item": folders,
    }


def list_operations(document: Document) -> list[Operation]:
    """Return the operations, those that create first, those that delete last.

    Each has in addition its path and verb, the media type and the schema of its body (both
    empty without one), whether it creates a resource, and whether it acts on the account or
    the token of the caller, which are the only resources without an id in their path.
    """
    operations = []
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            body = operation.get("requestBody", {"content": {"": {"schema": {}}}})
            media, described = next(iter(body["content"].items()))
            creates = bool({"201", "202"} & operation["responses"].keys())
            added = {
                "path": path,
                "verb": verb,
                "media": media,
                "schema": resolve(described["schema"], document),
                "creates": creates,
                "on_caller": "{" not in path and not creates,
            }
            operations.append({**operation, **added})
    operations.sort(
        key=lambda each: (not each["creates"], VERB_ORDER.index(each["verb"]))
    )
    return operations


def prerequisites(
    own: list[Operation], operations: list[Operation], ids: Variables
) -> Iterator[str]:
    """Yield a sentence for each request of another folder that must run first.

    These create the resources that the requests of a folder, `own`, act on or refer to.
    """
    names = {operation["operationId"] for operation in own}
    needed = {variable for (name, _), variable in ids.items() if name in names}
    for operation in own:
        needed.update(reference_variables(operation["schema"]).values())
    for operation in operations:
        creates = operation["creates"] and id_variable(operation["path"]) in needed
        if creates and operation["operationId"] not in names:
            yield f"Run “{operation['summary']}” first."


def reference_variables(schema: Schema) -> dict[str, str]:
    """Return the required references of a body: {property: variable with the id}."""
    return {
        name: id_variable(schema["properties"][name][X_REFERENCES])
        for name in schema.get("required", ())
        if X_REFERENCES in schema["properties"][name]
    }


def build_request(operation: Operation, document: Document, ids: Variables) -> Item:
    """Return one request of the collection; `ids`: see `id_variables`."""
    entries: dict[str, list[Item]] = {"path": [], "query": [], "header": []}
    for parameter in operation["parameters"]:
        name, place = parameter["name"], parameter["in"]
        entry = {"key": name, "description": parameter.get("description", "")}
        if place == "path":
            entry["value"] = "{{%s}}" % ids[operation["operationId"], name]
        else:
            entry |= {"value": HEADER_VALUES.get(name, ""), "disabled": True}
        entries[place].append(entry)
    address = operation["path"].replace("{", ":").replace("}", "")
    request: Item = {
        "method": operation["verb"].upper(),
        "description": operation["description"],
        "header": entries["header"],
        "url": {
            "raw": "{{base_url}}" + address,
            "host": ["{{base_url}}"],
            "path": address.strip("/").split("/"),
            "query": entries["query"],
            "variable": entries["path"],
        },
    }
    if operation["media"]:
        is_json = operation["schema"]["type"] == "object"
        raw = example_body(operation) if is_json else example_of(operation["schema"])
        options = {"raw": {"language": "json" if is_json else "text"}}
        request["body"] = {"mode": "raw", "raw": raw, "options": options}
        content_type = {"key": "Content-Type", "value": operation["media"]}
        entries["header"].insert(0, content_type)
    schemes = [name for choice in operation["security"] for name in choice]
    # A POST that sends nothing ends or replaces the session of a token.
    needs_token = operation["verb"] == "post" and "body" not in request
    if "basic" not in schemes or (needs_token and operation["on_caller"]):
        request["auth"] = authentication(schemes[-1]) if schemes else {"type": "noauth"}
    return {
        "name": operation["summary"],
        "request": request,
        "event": test_event(id_script(operation, ids)),
        "response": list(examples(request, operation, document)),
    }


def examples(request: Item, operation: Operation, document: Document) -> Iterator[Item]:
    """Yield an example of each successful JSON response, for mock servers."""
    for status, response in operation["responses"].items():
        for media, described in response.get("content", {}).items():
            if status < "300" and media.endswith("json"):
                body = example_of(resolve(described["schema"], document))
                yield {
                    "name": response["description"],
                    "originalRequest": request,
                    "code": int(status),
                    "status": HTTP_STATUS_CODES[int(status)],
                    "header": [{"key": "Content-Type", "value": media}],
                    "body": json.dumps(body, indent=2, ensure_ascii=False),
                }


def example_body(operation: Operation) -> str:
    """Return an example of a request body as JSON, with variables where needed.

    Variables stand for the credentials, for the ids of resources that another folder has
    created, and for the changing part of unique values.
    """
    schema, properties = operation["schema"], operation["schema"]["properties"]
    example, references = example_of(schema), reference_variables(schema)
    values = {name: "{{%s}}" % variable for name, variable in references.items()}
    if operation["on_caller"]:
        values |= CREDENTIALS
    elif operation["creates"]:
        conflict = operation["responses"].get("409", {}).get("description", "")
        for name in re.findall(r"The (\w+) is (?:already )?taken", conflict):
            if type(example.get(name)) is str and "format" not in properties[name]:
                values[name] = unique_text(example[name], properties[name])
    body = {
        name: values.get(name, value)
        for name, value in example.items()
        if name in references or X_REFERENCES not in properties[name]
    }
    text = json.dumps(body, indent=2, ensure_ascii=False)
    # An id is a number, so it has no quotes.
    return re.sub(r'"({{\w+_id}})"', r"\1", text)


def unique_text(example: str, schema: Schema) -> str:
    """Return a text that is different in each run, of an allowed length."""
    maximum = schema.get("maxLength", 255)
    if len(example) + 37 <= maximum:  # a hyphen and a UUID
        return f"{example}-{{{{$guid}}}}"
    return "{{$randomAlphaNumeric}}" * max(schema.get("minLength", 0), min(maximum, 12))


def authentication(scheme: str) -> Item:
    """Return the authentication of a request by one of our security schemes."""
    kind, values = AUTHENTICATION[scheme]
    return {
        "type": kind,
        kind: [{"key": k, "value": v, "type": "string"} for k, v in values.items()],
    }


def id_variables(operations: list[Operation]) -> Variables:
    """Return the variable with the value of each path parameter of an operation.

    It holds the id from the response that creates such a resource or, without one, from
    the response that lists them.
    """
    variables: Variables = {}
    for operation in operations:
        for response in operation["responses"].values():
            for link in response.get("links", {}).values():
                # The last parameter of a link comes from the response body.
                target = link["operationId"], list(link["parameters"])[-1]
                variables.setdefault(target, id_variable(operation["path"]))
    # By default, the variable is named after the path in front of the parameter.
    for operation in operations:
        for match in re.finditer(r"/{(\w+)}", operation["path"]):
            target = operation["operationId"], match[1]
            variables.setdefault(target, id_variable(match.string[: match.start()]))
    return variables


def id_variable(path: str) -> str:
    """Return the variable with the id of a resource created or listed at `path`."""
    return f"{path.rpartition('/')[2]}_id"


def id_script(operation: Operation, ids: Variables) -> Iterator[str]:
    """Yield the lines of a script that saves the id from the response, if it is used.

    After a deletion, the script removes the id instead.
    """
    path, verb, used = operation["path"], operation["verb"], ids.values()
    own = id_variable(path.rpartition("/")[0])  # holds the id of the resource
    if verb == "delete" and own in used:
        yield f'pm.collectionVariables.unset("{own}");'
    variable = id_variable(path)
    if variable in used and operation["creates"]:
        yield f'const variable = "{variable}";'
        yield "if (pm.response.code < 300)"
        yield "  pm.collectionVariables.set(variable, pm.response.json().id);"
    elif variable in used and verb == "get":
        # A resource that this run has created takes precedence.
        yield f'const variable = "{variable}";'
        yield "const first = pm.response.json().items?.[0];"
        yield "if (first && !pm.collectionVariables.get(variable))"
        yield "  pm.collectionVariables.set(variable, first.id);"


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
