"""Convert OpenAPI 3.1 to Swagger 2.0, for tools that need the older format.

Information for which Swagger 2.0 has no keyword is kept under a name with `x-`, which tools
ignore. So the Swagger document may accept more than the OpenAPI document, never less.
"""

from collections.abc import Callable
from typing import Any

from ..schema.fields import Schema

Part = dict[str, Any]  # a part of an OpenAPI or Swagger document

# The keywords of JSON Schema that hold schemas: by name, in a list, alone.
NAMED_SCHEMA_KEYWORDS = {"properties", "patternProperties", "dependentSchemas", "$defs"}
SCHEMA_LIST_KEYWORDS = {"allOf", "anyOf", "oneOf", "prefixItems"}
SCHEMA_KEYWORDS = {
    "items",
    "additionalProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
}
SCHEMA_KEYWORDS |= {"contains", "propertyNames", "not", "if", "then", "else"}

# The keywords that Swagger 2.0 has for parameters, those for bodies, and those to drop.
PARAMETER_KEYWORDS = {
    "type",
    "format",
    "items",
    "default",
    "enum",
    "multipleOf",
    "pattern",
}
PARAMETER_KEYWORDS |= {"maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"}
PARAMETER_KEYWORDS |= {"maxLength", "minLength", "maxItems", "minItems", "uniqueItems"}
BODY_KEYWORDS = {
    "$ref",
    "title",
    "description",
    "properties",
    "required",
    "allOf",
    "example",
}
BODY_KEYWORDS |= {
    "additionalProperties",
    "maxProperties",
    "minProperties",
    "readOnly",
} | PARAMETER_KEYWORDS
DROPPED_KEYWORDS = {"$schema", "$id", "$comment"}

NULLABLE = {"x-nullable": True}  # replaces `{"type": "null"}`


def downgrade(document: Part) -> Part:
    """Return the Swagger 2.0 document that is equivalent to an OpenAPI 3.1 document."""
    components = document["components"]
    return {
        "swagger": "2.0",
        "info": document["info"],
        "tags": document["tags"],
        "paths": {
            path: {
                verb: _operation(operation, components)
                for verb, operation in verbs.items()
            }
            for path, verbs in document["paths"].items()
        },
        "responses": {
            name: _response(response, components)
            for name, response in components["responses"].items()
        },
        "definitions": {
            name: _schema(schema) for name, schema in components["schemas"].items()
        },
        "securityDefinitions": {
            name: _security(**scheme)
            for name, scheme in components["securitySchemes"].items()
        },
    }


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


# Operations


def _operation(operation: Part, components: Part) -> Part:
    body = operation.get("requestBody")
    parameters = [_parameter(each, components) for each in operation["parameters"]]
    if body:
        parameters.append(_body(body))
    responses = operation["responses"]
    produced = {
        mime
        for response in responses.values()
        for mime in _resolve(response, components).get("content", ())
    }
    translated = {
        **operation,
        # In Swagger 2.0, an operation with form parameters cannot have a body.
        "consumes": [m for m in body["content"] if "form" not in m] if body else [],
        "produces": sorted(produced),
        "parameters": parameters,
        "responses": {
            status: _response(response, components)
            for status, response in responses.items()
        },
    }
    translated.pop("requestBody", None)
    return translated


def _parameter(parameter: Part, components: Part) -> Part:
    value = _value(parameter, components)
    if value["type"] == "array" and parameter.get("explode", True):
        value["collectionFormat"] = "multi"
    return {"required": False, **value}


def _body(body: Part) -> Part:
    # Swagger 2.0 has one schema for a body: here that of the first media type.
    content = _schemas(body)
    translated: Part = {
        "name": "body",
        "in": "body",
        "required": False,
        **{key: body[key] for key in body if key != "content"},
        "schema": next(iter(content.values())),
        "x-content": content,
    }
    for media, described in body["content"].items():
        if "encoding" in described:
            translated.setdefault("x-encoding", {})[media] = described["encoding"]
    return translated


def _response(response: Part, components: Part) -> Part:
    if "$ref" in response:
        return {"$ref": response["$ref"].replace("/components", "")}
    translated: Part = {"description": response["description"]}
    if "headers" in response:
        translated["headers"] = {
            name: _header(_resolve(header, components), components)
            for name, header in response["headers"].items()
        }
    if "content" in response:
        content = translated["x-content"] = _schemas(response)
        translated["schema"] = next(iter(content.values()))
        for media, described in response["content"].items():
            if "example" in described:
                fits = content[media] == translated["schema"]
                name = "examples" if fits else "x-examples"
                translated.setdefault(name, {})[media] = described["example"]
    if "links" in response:
        translated["x-links"] = response["links"]
    return translated


def _resolve(part: Part, components: Part) -> Part:
    if "$ref" not in part:
        return part
    _, _, kind, name = part["$ref"].split("/")
    return components[kind][name]


def _schemas(part: Part) -> dict[str, Schema]:
    """Return the schemas of a body or a response by media type."""
    return {
        media: _schema(described.get("schema", {}))
        for media, described in part["content"].items()
    }


def _header(header: Part, components: Part) -> Part:
    value = _value(header, components)
    return {f"x-{key}" if key == "required" else key: value[key] for key in value}


def _value(described: Part, components: Part) -> Part:
    """Convert a parameter or header; the keywords of its schema become its own."""
    value = _plain(_schema(_resolve(described["schema"], components)))
    if "x-description" in value and "description" not in described:
        value["description"] = value.pop("x-description")
    if "x-example" in value:  # Swagger UI would send it by default
        value.setdefault("x-examples", [value["x-example"]])
        del value["x-example"]
    return value | {
        key if key in ("name", "in", "required", "description") else f"x-{key}": word
        for key, word in described.items()
        if key != "schema"
    }


def _plain(schema: Schema) -> Schema:
    plain = {
        key if key in PARAMETER_KEYWORDS or key[:2] == "x-" else f"x-{key}": word
        for key, word in schema.items()
    }
    if "items" in plain:
        plain["items"] = _plain(plain["items"])
    return {"type": "string", **plain}


def _security(type: str, scheme: str, description: str, **other: Any) -> Part:
    if scheme == "basic":
        return {"type": "basic", "description": description}
    return {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": f"{description} Write `Bearer ` in front of it.",
        **{f"x-{key}": word for key, word in other.items()},
    }


# Schemas


def _schema(schema: Any) -> Schema:
    """Convert a JSON Schema (2020-12) to a Schema Object of Swagger 2.0."""
    if schema is True or schema is False:
        return {} if schema else {"x-not": {}}
    schema = map_subschemas(schema, _schema)
    for rule in (_type, _choice, _bounds, _wording, _reference):
        rule(schema)
    return {
        key if key in BODY_KEYWORDS or key.startswith("x-") else f"x-{key}": value
        for key, value in schema.items()
        if key not in DROPPED_KEYWORDS
    }


def _type(schema: Schema) -> None:
    """Convert a list of types to one type and `x-nullable`."""
    types = schema.pop("type", [])
    types = [types] if isinstance(types, str) else list(types)
    if "null" in types:
        types.remove("null")
        schema.update(NULLABLE)
    if len(types) == 1:
        schema["type"] = types[0]
    elif types:
        schema["x-type"] = types
    if types == ["array"]:
        schema.setdefault("items", {})


def _choice(schema: Schema) -> None:
    """Replace `anyOf` and `oneOf` by the only branch besides null, or by a common type."""
    for keyword in ("anyOf", "oneOf"):
        branches = schema.pop(keyword, [])
        if NULLABLE in branches:
            branches.remove(NULLABLE)
            schema.update(NULLABLE)
        types = {branch.get("type") for branch in branches}
        only = branches[0] if len(branches) == 1 else {}
        if "$ref" in only or only.keys() & schema.keys() - NULLABLE.keys():
            schema.setdefault("allOf", []).extend(branches)
        elif only:
            schema.update(only)
        elif branches:
            schema[f"x-{keyword}"] = branches
            if len(types) == 1 and None not in types:
                schema["type"] = types.pop()


def _bounds(schema: Schema) -> None:
    """Convert an exclusive bound to a bound with a flag."""
    for bound, exclusive in (
        ("minimum", "exclusiveMinimum"),
        ("maximum", "exclusiveMaximum"),
    ):
        if exclusive in schema:
            schema[bound], schema[exclusive] = schema[exclusive], True


def _wording(schema: Schema) -> None:
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if schema.get("examples"):
        schema["example"], *others = schema["examples"]
        if not others:
            del schema["examples"]
    if schema.get("required") == []:
        del schema["required"]


def _reference(schema: Schema) -> None:
    """Move a `$ref` with siblings into `allOf`, because a reference must stand alone."""
    if "$ref" in schema:
        name = schema.pop("$ref").rpartition("/")[2]
        reference = {"$ref": f"#/definitions/{name}"}
        if schema:
            schema.setdefault("allOf", []).append(reference)
        else:
            schema.update(reference)
