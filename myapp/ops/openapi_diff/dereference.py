"""Read the parts of an OpenAPI document with their references resolved."""

import json
import re
from urllib.parse import unquote

ANNOTATIONS = {
    *("title", "description", "summary", "example", "examples", "default"),
    *("deprecated", "externalDocs", "$comment", "$defs"),
}
# The members of these are names, not keywords.
NAME_MAP_KEYWORDS = {
    *("properties", "patternProperties", "dependentSchemas"),
    *("headers", "content", "responses", "callbacks"),
}
VALUE_KEYWORDS = {"const", "enum"}  # the members of these are values
VERBS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
VARIABLE = re.compile(r"{([^{}]*)}")


def operations(document):
    """Return {(path without names, verb): (path, its item, verb)} of each operation."""
    result = {}
    for path, item in document.get("paths", {}).items():
        item = resolve_reference(document, item)
        for verb in VERBS:
            if verb in item:
                result[VARIABLE.sub("{}", path), verb] = path, item, verb
    return result


def parameters(document, path, item, operation):
    """Return the parameters of an operation, by location and name (path: position)."""
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
    """Return the headers of a response by their names in lower case."""
    documented = response.get("headers", {}).items()
    return {
        name.lower(): resolve_reference(document, header) for name, header in documented
    }


def servers(document, item, operation):
    """Return the URLs of the servers of an operation."""
    for part in (operation, item, document):
        if part.get("servers"):
            return [canonical_json(server["url"]) for server in part["servers"]]
    return ['"/"']


def security_alternatives(document, operation):
    """Return the alternatives of security: (set of requirements, name) of each."""
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
    """Return a part of a document with its $ref resolved, and its own annotations."""
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
    """Return the target of a $ref, a JSON pointer (RFC 6901) in a fragment."""
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
    """Return a part without annotations, and with all references resolved.

    A recursive reference is replaced by its depth, a number.
    """
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
    """Return whether a keyword is in one schema only, or has different values."""
    return canonical_json(one.get(keyword, {})) != canonical_json(
        other.get(keyword, {})
    )


def canonical_json(value):
    """Return a value as text for comparison: 1 differs from true and from 1.0."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
