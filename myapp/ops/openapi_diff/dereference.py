"""Read the parts of an OpenAPI document with their references resolved."""

import json
import re
from urllib.parse import unquote

ANNOTATIONS = {
    *("title", "description", "summary", "example", "examples", "default"),
    *("deprecated", "externalDocs", "$comment", "$defs"),
}
# Below these are names in place of keywords.
NAMES = {
    *("properties", "patternProperties", "dependentSchemas"),
    *("headers", "content", "responses", "callbacks"),
}
VALUES = {"const", "enum"}  # below these are values that clients send or get
VERBS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
VARIABLE = re.compile(r"{([^{}]*)}")


def operations(document):
    """{(path without names, verb): (path, its item, verb)} of each operation."""
    found = {}
    for path, item in document.get("paths", {}).items():
        item = resolved(document, item)
        for verb in VERBS:
            if verb in item:
                found[VARIABLE.sub("{}", path), verb] = path, item, verb
    return found


def parameters(document, path, item, operation):
    """Of an operation, by where they stand and their name; in the path, by their place."""
    places = {name: place for place, name in enumerate(VARIABLE.findall(path))}
    found = {}
    for each in (*item.get("parameters", ()), *operation.get("parameters", ())):
        each = resolved(document, each)
        name = each["name"]
        if each["in"] == "path":
            name = places.get(name, name)
        elif each["in"] == "header":
            name = name.lower()
        found[each["in"], name] = each
    return found


def headers(document, response):
    """Of a response, by their names in small letters."""
    found = response.get("headers", {}).items()
    return {name.lower(): resolved(document, header) for name, header in found}


def servers(document, item, operation):
    """The addresses below which an operation stands."""
    for part in (operation, item, document):
        if part.get("servers"):
            return [as_json(server["url"]) for server in part["servers"]]
    return ['"/"']


def ways(document, operation):
    """Each way to sign in that is enough: (what it takes, as a set; its name)."""
    schemes = document.get("components", {}).get("securitySchemes", {})
    found = []
    for way in operation.get("security", document.get("security")) or [{}]:
        taken = set()
        for name, scopes in way.items():
            scheme = whole(document, schemes.get(name))
            taken |= {as_json([name, scheme, scope]) for scope in (None, *scopes)}
        found.append((taken, " and ".join(way)))
    return found


def resolved(document, part):
    """A part of a document, or what its $ref leads to, with the annotations beside it."""
    if isinstance(part, bool):
        return {} if part else {"not": {}}
    followed = []
    while isinstance(part.get("$ref"), str):
        beside = {name: value for name, value in part.items() if name != "$ref"}
        if beside.keys() - ANNOTATIONS:
            return {"allOf": [{"$ref": part["$ref"]}, beside]}
        if part["$ref"] in followed:
            raise ValueError(f"is not sound: {part['$ref']} leads to itself.")
        followed.append(part["$ref"])
        part = {**target(document, part["$ref"]), **beside}
    return part


def target(document, reference):
    """What stands where a $ref leads: a JSON Pointer (RFC 6901) in a fragment."""
    if not reference.startswith("#/"):
        raise ValueError(f"is not sound: {reference} leads out of it.")
    try:
        for step in unquote(reference[2:]).split("/"):
            step = step.replace("~1", "/").replace("~0", "~")
            document = document[int(step) if isinstance(document, list) else step]
    except (LookupError, TypeError, ValueError):
        raise ValueError(f"is not sound: {reference} leads nowhere.") from None
    return document


def whole(document, part, above=()):
    """A part without its annotations, and with what each $ref leads to in its place; a
    number for one that leads back: how deep it began."""
    if isinstance(part, list):
        return [whole(document, each, above) for each in part]
    if not isinstance(part, dict):
        return part
    if id(part) in above:
        return {"$ref": above.index(id(part))}
    above = *above, id(part)
    found = {}
    for name, value in resolved(document, part).items():
        if name in VALUES:
            found[name] = value
        elif name in NAMES and isinstance(value, dict):
            found[name] = {
                key: whole(document, each, above) for key, each in value.items()
            }
        elif name not in ANNOTATIONS and not name.startswith("x-"):
            found[name] = whole(document, value, above)
    return found


def changed(one, other, keyword):
    """Whether a keyword stands in one schema alone, or says something else in the other."""
    return as_json(one.get(keyword, {})) != as_json(other.get(keyword, {}))


def as_json(value):
    """A value as text, by which it compares: 1 is not true, and not 1.0."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
