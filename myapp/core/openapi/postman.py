"""The OpenAPI document as a Postman collection (format 2.1), and an environment for it.

What a call makes or hands out is kept in variables, and the calls that need it take it from
there: so a folder runs from top to bottom as it is.
"""

import json
import re

from werkzeug.http import HTTP_STATUS_CODES

from ..schema.examples import example_of
from ..schema.fields import REFERS

SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
# The order of a life, after what makes: listed, read, changed, and at last forgotten.
ORDER = ("post", "get", "put", "patch", "delete")
MINE = "account"  # the folder that ends with the account: it comes last
SENT = {
    "If-Match": "{{etag}}",
    "If-None-Match": "{{etag}}",
    "Idempotency-Key": "{{$guid}}",
}


def environment(name, base_url):
    """The environment for the collection: where the service is, and who calls."""
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


def collection(document):
    """An OpenAPI 3.1 document as a Postman collection, a dict."""
    info, ids = document["info"], kept_ids(document)
    return {
        "info": {
            "name": info["title"],
            "version": info["version"],
            "description": info["description"],
            "schema": SCHEMA,
        },
        "auth": auth("basic"),
        "event": after(CHECK),
        "item": [
            {
                "name": tag["name"],
                "description": " ".join([tag["description"], *needed(tag, document)]),
                "item": [
                    item(path, verb, operation, document, ids)
                    for path, verb, operation in in_order(document, tag["name"])
                ],
            }
            for tag in sorted(document["tags"], key=lambda tag: tag["name"] == MINE)
        ],
    }


def needed(tag, document):
    """What other folders make that this one's calls are about, or must name."""
    own, named = set(), set()
    for _, _, operation in in_order(document, tag["name"]):
        own.add(operation["operationId"])
        if "requestBody" in operation:
            named.update(referred(body_of(operation, document)[1]).values())
    for path, verbs in document["paths"].items():
        for operation in verbs.values():
            about = {link["operationId"] for link in links_of(operation)}
            if (
                makes(operation)
                and tag["name"] not in operation["tags"]
                and (about & own or kept_as(path) in named)
            ):
                yield f"Run “{operation['summary']}” first."


def body_of(operation, document):
    """The media type and the schema of what is sent."""
    media, sent = next(iter(operation["requestBody"]["content"].items()))
    return media, resolved(sent["schema"], document)


def referred(schema):
    """The variables that hold the ids which must be sent: {property: variable}."""
    return {
        name: kept_as(schema["properties"][name][REFERS])
        for name in schema.get("required", ())
        if REFERS in schema["properties"][name]
    }


def in_order(document, tag):
    """The operations of a tag: those that make come first, and those that delete last."""
    found = [
        (path, verb, operation)
        for path, verbs in document["paths"].items()
        for verb, operation in verbs.items()
        if tag in operation["tags"]
    ]
    return sorted(found, key=lambda one: (not makes(one[2]), ORDER.index(one[1])))


def makes(operation):
    return bool({"201", "202"} & operation["responses"].keys())


def item(path, verb, operation, document, ids):
    """One call; `ids`: see `kept_ids`."""
    told = {place: [] for place in ("path", "query", "header")}
    for parameter in operation["parameters"]:
        told[parameter["in"]].append(parameter)
    headers = [
        {**described(each), "value": SENT.get(each["name"], ""), "disabled": True}
        for each in told["header"]
    ]
    address = path.replace("{", ":").replace("}", "")
    request = {
        "method": verb.upper(),
        "description": operation["description"],
        "header": headers,
        "url": {
            "raw": "{{base_url}}" + address,
            "host": ["{{base_url}}"],
            "path": address.strip("/").split("/"),
            "query": [
                {**described(each), "value": "", "disabled": True}
                for each in told["query"]
            ],
            "variable": [
                {
                    **described(each),
                    "value": "{{%s}}" % ids[operation["operationId"], each["name"]],
                }
                for each in told["path"]
            ],
        },
    }
    if "requestBody" in operation:
        media, schema = body_of(operation, document)
        if schema["type"] == "object":
            language, raw = "json", said(operation, schema)
        else:
            language, raw = "text", example_of(schema)
        options = {"raw": {"language": language}}
        request["body"] = {"mode": "raw", "raw": raw, "options": options}
        headers.insert(0, {"key": "Content-Type", "value": media})
    ways = {name for way in operation["security"] for name in way}
    if operation["operationId"] == "postAuthLogout":
        request["auth"] = auth("bearer")  # whose session it is that ends
    elif "basic" not in ways:
        request["auth"] = auth(*ways) if ways else {"type": "noauth"}
    return {
        "name": operation["summary"],
        "request": request,
        "event": after(keeping(path, operation, ids)),
        "response": list(examples(request, operation, document)),
    }


def examples(request, operation, document):
    """What a call is answered with where all is well, for mock servers to give."""
    for status, response in operation["responses"].items():
        for media, described in response.get("content", {}).items():
            if status < "300" and media.endswith("json"):
                body = example_of(resolved(described["schema"], document))
                yield {
                    "name": response["description"],
                    "originalRequest": request,
                    "code": int(status),
                    "status": HTTP_STATUS_CODES[int(status)],
                    "header": [{"key": "Content-Type", "value": media}],
                    "body": json.dumps(body, indent=2, ensure_ascii=False),
                }


def said(operation, schema):
    """An example of a body as JSON, where in its place this run says who it is, what was
    made in another folder, and, where it must be unique, what nobody else has."""
    example = example_of(schema)
    properties, variables = schema["properties"], referred(schema)
    if operation["operationId"] == "postAuthLogin" or MINE in operation["tags"]:
        told = {"username": "{{username}}", "password": "{{password}}"}
    else:
        told = {name: "{{%s}}" % variable for name, variable in variables.items()}
        taken = operation["responses"].get("409", {}).get("description", "")
        unique = re.findall(r"The (\w+) is taken", taken)
        for name in unique if makes(operation) else ():
            if type(example.get(name)) is str and "format" not in properties[name]:
                told[name] = unlike(example[name], **properties[name])
    body = {
        name: told.get(name, value)
        for name, value in example.items()
        if name in variables or REFERS not in properties[name]
    }
    text = json.dumps(body, indent=2, ensure_ascii=False)
    for variable in variables.values():  # which holds a number
        text = text.replace('"{{%s}}"' % variable, "{{%s}}" % variable)
    return text


def unlike(example, minLength=0, maxLength=255, **_):
    """A text like the example that no run before has said, of a length that fits."""
    if len(example) + 37 <= maxLength:  # a hyphen and a UUID
        return f"{example}-{{{{$guid}}}}"
    return "{{$randomAlphaNumeric}}" * max(minLength, min(maxLength, 12))


def described(parameter):
    return {"key": parameter["name"], "description": parameter.get("description", "")}


def auth(way):
    """Sign-in by a security scheme of ours."""
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


def kept_ids(document):
    """The variable that holds a parameter of an operation: {(operationId, name): it}; of
    what makes such a thing, rather than of what lists it."""
    sources = [
        (path, operation)
        for path, verbs in document["paths"].items()
        for operation in verbs.values()
    ]
    # What stands before a variable in an address, unless a link says more of it.
    around = {
        (operation["operationId"], found[1]): kept_as(path[: found.start()])
        for path, operation in sources
        for found in re.finditer(r"/{(\w+)}", path)
    }
    return around | {
        (link["operationId"], name): kept_as(path)
        for path, operation in sorted(sources, key=lambda source: makes(source[1]))
        for link in links_of(operation)
        for name in [made_in(link)]
    }


def made_in(link):
    """The parameter of a link that comes from the answer."""
    return list(link["parameters"])[-1]


def kept_as(path):
    """The variable that keeps the id of what was made or listed at `path`."""
    return f"{path.rpartition('/')[2]}_id"


def links_of(operation):
    return [
        link
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]


def keeping(path, operation, ids):
    """The lines of script that keep the id that an answer holds, if a call needs it; or
    forget it, with the thing."""
    own = kept_as(path.rpartition("/")[0])  # of a thing, where it was made
    if operation["operationId"].startswith("delete") and own in ids.values():
        yield f'pm.collectionVariables.unset("{own}");'
    variable = kept_as(path)
    for link in links_of(operation)[: variable in ids.values()]:
        place = link["parameters"][made_in(link)]
        yield f'const variable = "{variable}";'
        if place.endswith("/items/0/id"):
            # What this run has made itself goes before what was there already.
            yield "const first = pm.response.json().items?.[0];"
            yield "if (first && !pm.collectionVariables.get(variable))"
            yield "  pm.collectionVariables.set(variable, first.id);"
        else:
            yield "if (pm.response.code < 300)"
            yield "  pm.collectionVariables.set(variable, pm.response.json().id);"


# After each call.
CHECK = """\
pm.test("it is answered with what was asked for", () => {
  pm.expect(pm.response.code).to.be.below(400);
});
let body = {};
try {
  body = pm.response.json();
} catch {
  // a file, or nothing
}
for (const name of ["access_token", "refresh_token"]) {
  if (body[name]) pm.collectionVariables.set(name, body[name]);
}
if (body.id) pm.collectionVariables.set("etag", pm.response.headers.get("ETag"));
""".splitlines()


def after(lines):
    """Run these lines of script after a call."""
    return [{"listen": "test", "script": {"type": "text/javascript", "exec": [*lines]}}]


def resolved(schema, document):
    """A schema, or the one that it refers to."""
    if "$ref" not in schema:
        return schema
    return document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
