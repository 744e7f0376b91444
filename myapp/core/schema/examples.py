"""Example values for a schema."""

from typing import Any

from .fields import Schema


def example_of(schema: Schema) -> Any:
    """Return a value that fits a schema.

    This is the first of its `examples` if it has any. For an object without examples, only
    the required properties are included, or all if none is required.
    """
    if schema.get("examples"):
        return schema["examples"][0]
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    if "enum" in schema:
        return schema["enum"][0]
    if "properties" in schema:
        names = schema.get("required") or schema["properties"]
        return {name: example_of(schema["properties"][name]) for name in names}
    kind = schema.get("type")
    kind = kind if isinstance(kind, str) else next(iter(kind or ["null"]))
    if kind == "array":
        return [example_of(schema["items"])]
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    return {"boolean": True, "object": {}, "string": "text"}.get(kind)
