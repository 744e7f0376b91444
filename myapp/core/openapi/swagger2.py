"""Convert OpenAPI 3.1 to Swagger 2.0, for tools that need the older format.

Information for which Swagger 2.0 has no keyword is kept under a name with `x-`, which tools
ignore. So the Swagger document may accept more than the OpenAPI document, never less.
"""

from collections.abc import Iterable
from typing import Any

from ..schema.fields import Schema, json_types
from .components import Part, map_subschemas, resolve

# The keywords that Swagger 2.0 has for parameters, those for bodies, and those to drop.
PARAMETER_KEYWORDS = set(
    "type format items default enum multipleOf pattern maximum exclusiveMaximum minimum"
    " exclusiveMinimum maxLength minLength maxItems minItems uniqueItems".split()
)
BODY_KEYWORDS = PARAMETER_KEYWORDS | set(
    "$ref title description properties required allOf example additionalProperties"
    " maxProperties minProperties readOnly".split()
)
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
            path: {verb: _operation(verbs[verb], document) for verb in verbs}
            for path, verbs in document["paths"].items()
        },
        "responses": {
            name: _response(response, document)
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


def _prefix(part: Part, known: Iterable[str], dropped: Iterable[str] = ()) -> Part:
    """Return a part with `x-` in front of the keywords that are not known."""
    return {
        key if key in known or key.startswith("x-") else f"x-{key}": value
        for key, value in part.items()
        if key not in dropped
    }


# Operations


def _operation(operation: Part, document: Part) -> Part:
    body = operation.get("requestBody", {"content": {}})
    parameters = [_parameter(each, document) for each in operation["parameters"]]
    if body["content"]:
        parameters.append(
            {"name": "body", "in": "body", "required": False, **_with_schema(body)}
        )
    responses = operation["responses"]
    produced = [
        resolve(each, document).get("content", ()) for each in responses.values()
    ]
    return {
        **{key: operation[key] for key in operation if key != "requestBody"},
        # In Swagger 2.0, an operation with form parameters cannot have a body.
        "consumes": [media for media in body["content"] if "form" not in media],
        "produces": sorted(set().union(*produced)),
        "parameters": parameters,
        "responses": {
            status: _response(response, document)
            for status, response in responses.items()
        },
    }


def _parameter(parameter: Part, document: Part) -> Part:
    value = _value(parameter, document, ("name", "in", "required", "description"))
    if value["type"] == "array" and parameter.get("explode", True):
        value["collectionFormat"] = "multi"
    return {"required": False, **value}


def _response(response: Part, document: Part) -> Part:
    if "$ref" in response:
        return {"$ref": response["$ref"].replace("/components", "")}
    translated = _with_schema(_prefix(response, ("description", "headers", "content")))
    if "headers" in response:
        translated["headers"] = {
            name: _value(resolve(header, document), document, ("description",))
            for name, header in response["headers"].items()
        }
    return translated


def _with_schema(part: Part) -> Part:
    """Convert the content of a body or response to one schema for all media types.

    That is the schema of the first media type; the others are kept under `x-content`.
    """
    translated = {key: part[key] for key in part if key != "content"}
    for media, described in part.get("content", {}).items():
        schema = _schema(described.get("schema", {}))
        translated.setdefault("schema", schema)
        translated.setdefault("x-content", {})[media] = schema
        examples = "examples" if schema == translated["schema"] else "x-examples"
        for key, name in {"example": examples, "encoding": "x-encoding"}.items():
            if key in described:
                translated.setdefault(name, {})[media] = described[key]
    return translated


def _value(described: Part, document: Part, beside: Iterable[str]) -> Part:
    """Convert a parameter or header; the keywords of its schema become its own.

    `beside`: the keywords that Swagger 2.0 has beside those of the schema.
    """
    value = _plain(_schema(resolve(described["schema"], document)))
    if "x-description" in value and "description" not in described:
        value["description"] = value.pop("x-description")
    if "x-example" in value:  # Swagger UI would send it by default
        example = value.pop("x-example")
        value.setdefault("x-examples", [example])
    return value | _prefix(described, beside, dropped=("schema",))


def _plain(schema: Schema) -> Schema:
    plain = {"type": "string", **_prefix(schema, PARAMETER_KEYWORDS)}
    if "items" in plain:
        plain["items"] = _plain(plain["items"])
    return plain


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
    for rule in (_type, _choice, _wording, _reference):
        rule(schema)
    return _prefix(schema, BODY_KEYWORDS, DROPPED_KEYWORDS)


def _type(schema: Schema) -> None:
    """Convert a list of types to one type and `x-nullable`."""
    types = list(json_types(schema))
    schema.pop("type", None)
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


def _wording(schema: Schema) -> None:
    """Convert the keywords for which Swagger 2.0 has others."""
    for bound in ("Minimum", "Maximum"):
        exclusive = f"exclusive{bound}"
        if exclusive in schema:
            schema[bound.lower()], schema[exclusive] = schema[exclusive], True
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
