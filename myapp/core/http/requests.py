"""Read request bodies: JSON, and merge patches (RFC 7396)."""

from functools import wraps

import orjson
from flask import request

from ..errors import Malformed, Problem
from ..schema.examples import example_of
from ..schema.fields import without_default
from ..schema.operation import describes, problem_response
from ..schema.serialization import dumps
from ..schema.validation import Body

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"


def json_body(*media_types):
    """The request's body, parsed. Raises 413, 415 or 400."""
    sent = request._get_current_object()
    if sent.mimetype not in media_types or sent.content_encoding:
        headers = {
            "Accept-Patch" if sent.method == "PATCH" else "Accept": ", ".join(
                media_types
            )
        }
        raise Problem(415, f"Send {' or '.join(media_types)}.", headers=headers)
    data = sent.get_data()  # kept: the request may run anew
    if sent.content_length is None:
        sent.stream.read(1)  # 413 where there is more than was let in
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"This is not JSON: {error}.") from None


def accepts(shape):
    """Take the body, which must fit the write schema; the verb gets it as `body`.

    `shape`: a model, or a write schema.
    """
    body = getattr(shape, "body", None) or Body(shape)

    def decorator(verb):
        @wraps(verb)
        def wrapper(*args, **kwargs):
            return verb(*args, body=body.check(json_body(JSON)), **kwargs)

        return _describes_body(wrapper, {JSON: body.schema}, shape)

    return decorator


def accepts_patch(model):
    """Take a merge patch (RFC 7396); the verb gets it as `patch`, for `merged`."""
    schema = {
        "title": f"{model.__name__}Patch",
        "type": "object",
        # What is left out stays, and null puts a default back. A client that knew the
        # default might send it.
        "properties": {
            name: without_default(described)
            for name, described in model.write_schema["properties"].items()
        },
        "additionalProperties": False,
        "description": "What is to change; null takes an optional property away.",
        "examples": [example_of(model.write_schema)],
    }

    def decorator(verb):
        @wraps(verb)
        def wrapper(*args, **kwargs):
            return verb(*args, patch=json_body(MERGE_PATCH, JSON), **kwargs)

        return _describes_body(wrapper, {MERGE_PATCH: schema, JSON: schema}, model)

    return decorator


def _describes_body(verb, schemas, shape):
    taken = [f"The {name} is taken." for name in getattr(shape, "unique", ())]
    unfit = ["The body does not fit the schema."]
    unfit += [f"There is no such {name}." for name in getattr(shape, "references", ())]
    return describes(
        verb,
        request_body={
            "required": True,
            "content": {media: {"schema": schema} for media, schema in schemas.items()},
        },
        responses={
            "400": problem_response("The body is not JSON."),
            "413": problem_response("The body is too large."),
            "415": problem_response("The body is of another media type."),
            "422": problem_response(" ".join(unfit)),
            **({"409": problem_response(" ".join(taken))} if taken else {}),
        },
    )


def merged(found, patch, model=None):
    """The body that `patch` makes of what there is (RFC 7396 §2). Raises 422.

    `model`: what the record is shown as, if not as itself.
    """
    model = model or found
    if not isinstance(patch, dict):
        return model.body.check(patch)
    now = orjson.loads(dumps(model.as_json(found)))
    names = model.write_schema["properties"]
    target = {name: now[name] for name in names if now.get(name) is not None}
    try:
        result = merge(target, patch)
    except RecursionError:
        raise Malformed("This is nested too deeply.") from None
    # Taking away what is not known here is as wrong as setting it.
    return model.body.check({**dict.fromkeys(patch.keys() - names), **result})


def merge(target, patch):
    """RFC 7396's MergePatch: `target` with `patch` applied, as a new value."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result
