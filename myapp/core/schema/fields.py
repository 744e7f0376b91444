"""Build JSON Schemas (2020-12): one function for each kind of property, two for bodies.

Validation, database columns, filters and the OpenAPI document are derived from them.
"""

from typing import Any

Schema = dict[str, Any]  # a JSON Schema

MAX_INT64 = 2**63 - 1  # the largest value of a 64-bit column
# PostgreSQL cannot store NUL, so it is refused everywhere
NO_NUL_PATTERN = "^[^\\u0000]*$"


def text(min_length: int, max_length: int, description: str, example: str) -> Schema:
    """Return the schema of a string of `min_length` to `max_length` characters."""
    return {
        "type": "string",
        "minLength": min_length,
        "maxLength": max_length,
        "pattern": NO_NUL_PATTERN,
        "description": description,
        "examples": [example],
    }


def integer(minimum: int, maximum: int, description: str, example: int) -> Schema:
    """Return the schema of an integer from `minimum` to `maximum`."""
    return {
        "type": "integer",
        "minimum": minimum,
        "maximum": maximum,
        "description": description,
        "examples": [example],
    }


def number(minimum: float, maximum: float, description: str, example: float) -> Schema:
    """Return the schema of a number from `minimum` to `maximum`, stored as a double."""
    return {
        "type": "number",
        "minimum": minimum,
        "maximum": maximum,
        "description": description,
        "examples": [example],
    }


def enum(description: str, *values: str) -> Schema:
    """Return the schema of a string that is one of `values`; the first is the example."""
    return {
        "type": "string",
        "enum": list(values),
        "maxLength": max(map(len, values)),
        "description": description,
        "examples": [values[0]],
    }


def reference(description: str, example: int = 7) -> Schema:
    """Return the schema of the id of another record.

    The attribute `references` of the model names the model of that record.
    """
    return integer(1, MAX_INT64, description, example)


def boolean(description: str, default: bool | None = None) -> Schema:
    """Return the schema of a boolean; with a `default` it is optional."""
    schema: Schema = {"type": "boolean", "description": description}
    return schema if default is None else {**schema, "default": default}


def date_time(description: str, example: str = "2026-11-21T07:40:00Z") -> Schema:
    """Return the schema of a point in time (RFC 3339 date-time)."""
    return {
        "type": "string",
        "format": "date-time",
        "description": description,
        "examples": [example],
    }


def date(description: str, example: str = "2026-11-21") -> Schema:
    """Return the schema of a date (RFC 3339 full-date)."""
    return {**date_time(description, example), "format": "date"}


def optional(schema: Schema) -> Schema:
    """Return the schema of the same property, which may be null or omitted."""
    nullable = {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        nullable["enum"] = [*schema["enum"], None]
    return nullable


def without_default(schema: Schema) -> Schema:
    """Return the schema of the same property, nullable instead of having a default."""
    if "default" not in schema:
        return schema
    return optional({key: schema[key] for key in schema if key != "default"})


def is_optional(schema: Schema) -> bool:
    """Return True if a write may omit the property."""
    return "default" in schema or "null" in json_types(schema)


def json_types(schema: Schema) -> tuple[str, ...]:
    """Return the JSON types that a schema allows."""
    types = schema.get("type", ())
    return (types,) if isinstance(types, str) else tuple(types)


def request_schema(title: str, /, **properties: Schema) -> Schema:
    """Return the schema of a request body: these properties, and no others."""
    return {
        "title": title,
        "type": "object",
        "properties": properties,
        "required": [n for n, schema in properties.items() if not is_optional(schema)],
        "additionalProperties": False,
    }


def response_schema(title: str, /, **properties: Schema) -> Schema:
    """Return the schema of a response body: always all of these properties."""
    return {
        "title": title,
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


# keyword of a property: the collection that its ids belong to
X_REFERENCES = "x-references"
