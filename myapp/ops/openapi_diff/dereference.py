"""Read the parts of an OpenAPI document with their references resolved."""

import json
import re
from urllib.parse import unquote

ANNOTATIONS = {
    *("title", "description", "summary", "example", "examples", "default"),
    *("deprecated", "externalDocs", "$comment", "$defs"),
}
# Below these are names in place of keywords.
NAME_MAP_KEYWORDS = {
    *("properties", "patternProperties", "dependentSchemas"),
    *("headers", "content", "responses", "callbacks"),
}
VALUE_KEYWORDS = {"const", "enum"}  # below these are values that clients send or get
VERBS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
VARIABLE = re.compile(r"{([^{}]*)}")


def operations(document):
    """{(path without names, verb): (path, its item, verb)} of each operation."""
    result = {}
    for path, item in document.get("paths", {}).items():
        item = resolve_reference(document, item)
        for verb in VERBS:
            if verb in item:
                result[VARIABLE.sub("{}", path), verb] = path, item, verb
    return result


def parameters(document, path, item, operation):
    """Of an operation, by where they stand and their name; in the path, by their place."""
    places = {name: place for place, name in enumerate(VARIABLE.findall(path))}
    result = {}
    for each in (*item.get("parameters", ()), *operation.get("parameters", ())):
        each = resolve_reference(document, each)
        name = each["name"]
        if each["in"] == "path":
            name = places.get(name, name)
        elif each["in"] == "header":
            name = name.lower()
        result[each["in"], name] = each
    return result


def headers(document, response):
    """Of a response, by their names in small letters."""
    documented = response.get("headers", {}).items()
    return {
        name.lower(): resolve_reference(document, header) for name, header in documented
    }


def servers(document, item, operation):
    """The addresses below which an operation stands."""
    for part in (operation, item, document):
        if part.get("servers"):
            return [canonical_json(server["url"]) for server in part["servers"]]
    return ['"/"']


def security_alternatives(document, operation):
    """Each way to sign in that is enough: (what it takes, as a set; its name)."""
    schemes = document.get("components", {}).get("securitySchemes", {})
    alternatives = []
    for way in operation.get("security", document.get("security")) or [{}]:
        required = set()
        for name, scopes in way.items():
            scheme = dereference(document, schemes.get(name))
            required |= {
                canonical_json([name, scheme, scope]) for scope in (None, *scopes)
            }
        alternatives.append((required, " and ".join(way)))
    return alternatives


def resolve_reference(document, part):
    """A part of a document, or what its $ref leads to, with the annotations beside it."""
    if isinstance(part, bool):
        return {} if part else {"not": {}}
    visited = []
    while isinstance(part.get("$ref"), str):
        beside = {name: value for name, value in part.items() if name != "$ref"}
        if beside.keys() - ANNOTATIONS:
            return {"allOf": [{"$ref": part["$ref"]}, beside]}
        if part["$ref"] in visited:
            raise ValueError(f"is not sound: {part['$ref']} leads to itself.")
        visited.append(part["$ref"])
        part = {**reference_target(document, part["$ref"]), **beside}
    return part


def reference_target(document, reference):
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


def dereference(document, part, above=()):
    """A part without its annotations, and with what each $ref leads to in its place; a
    number for one that leads back: how deep it began."""
    if isinstance(part, list):
        return [dereference(document, each, above) for each in part]
    if not isinstance(part, dict):
        return part
    if id(part) in above:
        return {"$ref": above.index(id(part))}
    above = *above, id(part)
    result = {}
    for name, value in resolve_reference(document, part).items():
        if name in VALUE_KEYWORDS:
            result[name] = value
        elif name in NAME_MAP_KEYWORDS and isinstance(value, dict):
            result[name] = {
                key: dereference(document, each, above) for key, each in value.items()
            }
        elif name not in ANNOTATIONS and not name.startswith("x-"):
            result[name] = dereference(document, value, above)
    return result


def keyword_differs(one, other, keyword):
    """Whether a keyword stands in one schema alone, or says something else in the other."""
    return canonical_json(one.get(keyword, {})) != canonical_json(
        other.get(keyword, {})
    )


def canonical_json(value):
    """A value as text, by which it compares: 1 is not true, and not 1.0."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
