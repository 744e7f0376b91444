"""Write JSON Schemas (2020-12): functions for one property each, and for a whole body.

From these schemas follow validation, columns, filters and documents.
"""

BIGGEST = 2**63 - 1  # what a 64-bit column holds
NO_NUL = "^[^\\u0000]*$"  # PostgreSQL keeps no NUL, so nobody does


def text(shortest, longest, description, example):
    """A string of `shortest` to `longest` characters."""
    return {
        "type": "string",
        "minLength": shortest,
        "maxLength": longest,
        "pattern": NO_NUL,
        "description": description,
        "examples": [example],
    }


def integer(lowest, highest, description, example):
    """A whole number from `lowest` to `highest`."""
    return {
        "type": "integer",
        "minimum": lowest,
        "maximum": highest,
        "description": description,
        "examples": [example],
    }


def number(lowest, highest, description, example):
    """A number from `lowest` to `highest`, kept as a double (IEEE 754)."""
    return {**integer(lowest, highest, description, example), "type": "number"}


def choice(description, *values):
    """One of these texts."""
    return {
        "type": "string",
        "enum": list(values),
        "maxLength": max(map(len, values)),
        "description": description,
        "examples": [values[0]],
    }


def reference(description, example=7):
    """The id of another thing; a model's `references` say of which kind, and the document
    does so with REFERS."""
    return integer(1, BIGGEST, description, example)


def flag(description, default=None):
    """True or false; with a `default` it may be left out."""
    schema = {"type": "boolean", "description": description}
    return schema if default is None else {**schema, "default": default}


def moment(description, example="2026-11-21T07:40:00Z"):
    """A point in time, RFC 3339."""
    return {
        "type": "string",
        "format": "date-time",
        "description": description,
        "examples": [example],
    }


def day(description, example="2026-11-21"):
    """A date, RFC 3339's full-date."""
    return {**moment(description, example), "format": "date"}


def optional(schema):
    """The same property, which may be null or left out."""
    nullable = {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        nullable["enum"] = [*schema["enum"], None]
    return nullable


def without_default(schema):
    """The same property, which may be null where it had a default."""
    if "default" not in schema:
        return schema
    return optional({key: schema[key] for key in schema if key != "default"})


def is_optional(schema):
    """Whether a property may be left out of a write."""
    return "default" in schema or "null" in kinds(schema)


def kinds(schema):
    """The JSON types that a property may have, as a tuple."""
    kind = schema.get("type", ())
    return (kind,) if isinstance(kind, str) else tuple(kind)


def writing(title, /, **properties):
    """The schema of a body that a client sends: these properties, and no others."""
    return {
        "title": title,
        "type": "object",
        "properties": properties,
        "required": [n for n, schema in properties.items() if not is_optional(schema)],
        "additionalProperties": False,
    }


def reading(title, /, **properties):
    """The schema of a body that we answer with: all of these properties, always."""
    return {
        "title": title,
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


REFERS = "x-references"  # of a property: whose ids it takes, as the last of an address
