"""Move repeated schemas and responses into `components`, and resolve references there."""

import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from ..errors import STATUS_TITLES
from ..schema.examples import example_of
from ..schema.fields import Schema

Part = dict[str, Any]  # a part of an OpenAPI or Swagger document
Use = tuple[Part, Part]  # a response, and the operation that has it

# The keywords of JSON Schema that hold schemas: by name, in a list, alone.
NAMED_SCHEMA_KEYWORDS = {"properties", "patternProperties", "dependentSchemas", "$defs"}
SCHEMA_LIST_KEYWORDS = {"allOf", "anyOf", "oneOf", "prefixItems"}
SCHEMA_KEYWORDS = set(
    "items additionalProperties unevaluatedProperties unevaluatedItems contains"
    " propertyNames not if then else".split()
)


def resolve(part: Part, document: Part) -> Part:
    """Return a part of the document, or the component that it refers to."""
    if "$ref" not in part:
        return part
    _, _, kind, name = part["$ref"].split("/")
    component: Part = document["components"][kind][name]
    return component


def extract_common_responses(
    paths: dict[str, dict[str, Any]],
) -> dict[str, dict[str, Any]]:
    """Move the most common response of each error status out of the operations.

    Return these responses by name; operations with such a response then refer to it.
    The most common one is that of most features, and of most operations among these.
    Counting operations first would prefer the response of one large feature, which all
    others would then have to write out.
    """
    uses: dict[str, dict[str, list[Use]]] = defaultdict(lambda: defaultdict(list))
    for verbs in paths.values():
        for operation in verbs.values():
            for status, response in operation["responses"].items():
                if status >= "400":
                    same = uses[status][response["description"]]
                    same.append((response, operation))

    def spread(pairs: list[Use]) -> tuple[int, int]:
        return len({operation["tags"][0] for _, operation in pairs}), len(pairs)

    components = {}
    for status, by_description in sorted(uses.items()):
        pairs = max(by_description.values(), key=spread)
        common, _ = pairs[0]
        name = re.sub(r"\W", "", STATUS_TITLES[int(status)])
        components[name] = common
        for response, operation in pairs:
            if response == common:
                operation["responses"][status] = {
                    "$ref": f"#/components/responses/{name}"
                }
    return components


def extract_schemas(
    part: Any, schemas: dict[str, Schema], copies: dict[int, tuple[Schema, Schema]]
) -> Any:
    """Return a copy of part of an operation; move its titled schemas to `schemas`.

    `copies` holds each whole schema so far with its copy, by the id of the schema, because
    many operations share one.
    """
    if isinstance(part, list):
        return [extract_schemas(each, schemas, copies) for each in part]
    if not isinstance(part, dict) or "$ref" in part:
        return part
    copy: dict[str, Any] = {}
    for key, value in part.items():
        if key == "schema":
            if id(value) not in copies:
                copies[id(value)] = value, schema_reference(value, schemas)
            copy[key] = copies[id(value)][1]
        else:
            copy[key] = extract_schemas(value, schemas, copies)
    return copy


def schema_reference(schema: Schema, schemas: dict[str, Schema]) -> Schema:
    """Move a schema to `schemas` if it has a title, and return the `$ref` to it.

    Without a title, return the schema itself. Schemas inside it are treated alike. Raises
    ValueError if another schema has the same title.
    """
    if "properties" in schema and "title" in schema:
        schema = {"examples": [example_of(schema)]} | schema
    schema = map_subschemas(schema, lambda part: schema_reference(part, schemas))
    if "title" not in schema:
        return schema
    name = re.sub(r"[^\w.-]", "", schema["title"])
    if schemas.setdefault(name, schema) != schema:
        raise ValueError(f"two schemas have the title {name}")
    return {"$ref": f"#/components/schemas/{name}"}


def map_subschemas(schema: Schema, change: Callable[[Any], Any]) -> Schema:
    """Return a copy of a JSON Schema, with `change` applied to its direct subschemas."""
    copy = dict(schema)
    for key, value in schema.items():
        if key in NAMED_SCHEMA_KEYWORDS:
            copy[key] = {name: change(part) for name, part in value.items()}
        elif key in SCHEMA_LIST_KEYWORDS:
            copy[key] = [change(part) for part in value]
        elif key in SCHEMA_KEYWORDS and isinstance(value, dict):
            copy[key] = change(value)
    return copy
