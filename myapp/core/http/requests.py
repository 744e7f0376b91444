"""Read request bodies: JSON, and merge patches (RFC 7396)."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import orjson
from flask import request

from ..data.models.schema_model import SchemaModel
from ..errors import Malformed, Problem
from ..schema.examples import example_of
from ..schema.fields import without_default
from ..schema.operation import document_operation, problem_spec
from ..schema.serialization import dumps
from ..schema.validation import BodyValidator

P = ParamSpec("P")
R = TypeVar("R")
Schema = dict[str, Any]

JSON_MEDIA_TYPE = "application/json"
MERGE_PATCH_MEDIA_TYPE = "application/merge-patch+json"


def parse_json_body(*media_types: str) -> Any:
    """Return the parsed body of the request.

    `media_types`: those that are accepted. Raises 413 (too large), 415 (another media type,
    or a Content-Encoding) or 400 (not JSON).
    """
    # The request itself: each access through Flask's proxy costs time.
    current = request._get_current_object()  # type: ignore[attr-defined]
    if current.mimetype not in media_types or current.content_encoding:
        name = "Accept-Patch" if current.method == "PATCH" else "Accept"
        accepted = " or ".join(media_types)
        raise Problem(
            415,
            f"The request body must be sent as {accepted}, without Content-Encoding.",
            headers={name: ", ".join(media_types)},
        )
    data = current.get_data()  # cached, because the request may be retried
    if current.content_length is None:
        current.stream.read(1)  # raises 413 if more than the limit was sent
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"The request body is not valid JSON: {error}.") from None


def accepts(
    shape: type[SchemaModel] | Schema,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Validate the body against a write schema; the verb gets it as `body`.

    `shape`: a model, or a write schema. Raises 400, 413, 415 or 422.
    """
    body = BodyValidator(shape) if isinstance(shape, dict) else shape.body

    def decorator(verb: Callable[..., R]) -> Callable[..., R]:
        @wraps(verb)
        def wrapper(*args: Any, **kwargs: Any) -> R:
            return verb(
                *args, body=body.validate(parse_json_body(JSON_MEDIA_TYPE)), **kwargs
            )

        return _document_body(wrapper, "accepts", {JSON_MEDIA_TYPE: body.schema}, shape)

    return decorator


def accepts_patch(
    model: type[SchemaModel],
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Accept a merge patch (RFC 7396); the verb gets it as `patch`, for
    `apply_merge_patch`.

    Raises 400, 413 or 415; `apply_merge_patch` validates the result.
    """
    schema = {
        "title": f"{model.__name__}Patch",
        "type": "object",
        # An omitted property is unchanged, and null restores its default. So the document
        # must not show the default: a generated client might send it.
        "properties": {
            name: without_default(property_schema)
            for name, property_schema in model.write_schema["properties"].items()
        },
        "additionalProperties": False,
        "description": "The properties to change; null clears an optional property.",
        "examples": [example_of(model.write_schema)],
    }

    def decorator(verb: Callable[..., R]) -> Callable[..., R]:
        @wraps(verb)
        def wrapper(*args: Any, **kwargs: Any) -> R:
            return verb(
                *args,
                patch=parse_json_body(MERGE_PATCH_MEDIA_TYPE, JSON_MEDIA_TYPE),
                **kwargs,
            )

        return _document_body(
            wrapper,
            "accepts_patch",
            {MERGE_PATCH_MEDIA_TYPE: schema, JSON_MEDIA_TYPE: schema},
            model,
        )

    return decorator


def _document_body(
    verb: Callable[..., R],
    decorator: str,
    schemas: dict[str, Schema],
    shape: type[SchemaModel] | Schema,
) -> Callable[..., R]:
    conflicts = [f"The {name} is taken." for name in getattr(shape, "unique", ())]
    violations = ["The request body violates the schema."]
    for name in getattr(shape, "references", ()):
        violations.append(f"No such {name}.")
    responses = {
        "400": problem_spec("The request body is not valid JSON."),
        "413": problem_spec("The request body is too large."),
        "415": problem_spec("The media type of the request body is not supported."),
        "422": problem_spec(" ".join(violations)),
    }
    if conflicts:
        responses["409"] = problem_spec(" ".join(conflicts))
    return document_operation(
        verb,
        decorator=decorator,
        request_body={
            "required": True,
            "content": {media: {"schema": schema} for media, schema in schemas.items()},
        },
        responses=responses,
    )


def apply_merge_patch(
    record: Any, patch: Any, model: type[SchemaModel] | None = None
) -> dict[str, Any]:
    """Return the body that results from applying `patch` to `record` (RFC 7396 §2).

    `model`: the model whose schema applies; by default the record's own. Raises 422 if the
    result violates the write schema.
    """
    shape: Any = model or record
    if not isinstance(patch, dict):
        return shape.body.validate(patch)
    current = orjson.loads(dumps(shape.as_json(record)))
    names = shape.write_schema["properties"]
    target = {name: current[name] for name in names if current.get(name) is not None}
    try:
        result = merge_patch(target, patch)
    except RecursionError:
        raise Malformed("The body is nested too deeply.") from None
    # An unknown property that is set to null disappears in the merge; it must be an error,
    # as one that is set to a value is.
    return shape.body.validate({**dict.fromkeys(patch.keys() - names), **result})


def merge_patch(target: Any, patch: Any) -> Any:
    """Return `target` with `patch` applied, as a new value (MergePatch in RFC 7396 §2)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result
