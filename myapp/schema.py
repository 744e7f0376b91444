"""JSON Schema (2020-12): describe a body once; accept it, answer with it, document it.

The functions `text`, `integer`, … write the schema of one property, `writing` and
`reading` that of a whole body. From these follow validation, columns, filters and
documents; nothing is said twice.
"""

import re
import unicodedata
from datetime import UTC, date, datetime
from functools import wraps
from http import HTTPStatus
from math import inf
from urllib.parse import quote

import jsonschema_rs
import orjson
from flask import Response, request

from .openapi import carrying, describes, example_of, problem_response
from .etags import answer, answer_item, conditional, dumps, respond
from .problems import RETRY, Problem, fault

BIGGEST = 2**63 - 1  # what a 64-bit column holds
NUMBER = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?")
NEVER = datetime.max  # what a column holds for no time, so nobody may say it
NO_NUL = "^[^\\u0000]*$"  # PostgreSQL keeps no NUL, so nobody does
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"

LONGEST_NAME = 255  # bytes of a file's name
# What is a device to Windows, whatever its ending.
DEVICE_FILE = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\..*)?", re.I)


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


def parsed(schema, text):
    """`text`, from a query, as the value that a property of this `schema` would have.

    Times become naive UTC datetimes, dates become dates. Raises ValueError, which says
    what would be right.
    """
    kind = kinds(schema)
    if "integer" in kind:
        if not re.fullmatch(r"-?[0-9]{1,19}", text) or abs(int(text)) > BIGGEST:
            raise ValueError("must be a whole number of at most 64 bits")
        return int(text)
    if "number" in kind:
        if not NUMBER.fullmatch(text) or abs(float(text)) == inf:
            raise ValueError("must be a number")
        return float(text)
    if "boolean" in kind:
        if text not in ("true", "false"):
            raise ValueError("must be true or false")
        return text == "true"
    if schema.get("format") in TIMES:
        return TIMES[schema["format"]](text)
    if "\0" in text:
        raise ValueError("must not contain NUL")
    return text


def as_datetime(text):
    """An RFC 3339 time as a naive UTC datetime; raises ValueError."""
    try:
        moment = datetime.fromisoformat(text.upper())
        if moment.tzinfo:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
            if moment != NEVER:
                return moment
    except (ValueError, OverflowError):
        pass
    raise ValueError("must be a time as RFC 3339 has it, like 2026-11-21T07:40:00Z")


def as_date(text):
    """An RFC 3339 date as a date; raises ValueError."""
    try:
        if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError("must be a date as RFC 3339 has it, like 2026-11-21")


TIMES = {"date-time": as_datetime, "date": as_date}


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
        raise Problem(400, f"This is not JSON: {error}.") from None


class Body:
    """A write schema, compiled once."""

    def __init__(self, schema):
        self.schema = schema
        # The mask keeps what was sent, a password perhaps, out of what we say of it.
        self._validator = jsonschema_rs.Draft202012Validator(
            schema, validate_formats=True, mask="the value"
        )
        self._defaults = {
            name: described.get("default")
            for name, described in schema["properties"].items()
            if is_optional(described)
        }
        self._integers = self._named(lambda described: "integer" in kinds(described))
        self._numbers = self._named(lambda described: "number" in kinds(described))
        self._times = {
            name: TIMES[described["format"]]
            for name, described in schema["properties"].items()
            if described.get("format") in TIMES
        }

    def _named(self, test):
        return [n for n, schema in self.schema["properties"].items() if test(schema)]

    def check(self, data):
        """`data` as the models take it: what was left out is there with its default,
        integers are int, numbers float, times naive UTC datetimes, dates dates. Raises 422
        with every fault."""
        try:
            if not self._validator.is_valid(data):
                raise Problem(422, errors=list(self._faults(data)))
        except ValueError:  # the validator's recursion limit
            raise Problem(400, "This is nested too deeply.") from None
        body = {**self._defaults, **data}
        for name in self._integers:
            if isinstance(body[name], float):  # 3.0 is an integer to JSON Schema
                body[name] = int(body[name])
        for name in self._numbers:
            if body[name] is not None:
                body[name] = float(body[name])
        for name, parse in self._times.items():
            if body[name] is not None:
                try:
                    body[name] = parse(body[name])
                except ValueError as error:
                    raise Problem(422, errors=[fault(f"/{name}", str(error))]) from None
        return body

    def _faults(self, data):
        for error in self._validator.iter_errors(data):
            pointer = pointer_to(error.instance_path)
            kind = error.kind
            if kind.name == "required":
                yield fault(f"{pointer}{pointer_to([kind.property])}", "is required")
            elif kind.name == "additionalProperties":
                for name in kind.unexpected:
                    yield fault(f"{pointer}{pointer_to([name])}", "is not known here")
            elif kind.name == "pattern" and kind.pattern == NO_NUL:
                yield fault(pointer, "must not contain NUL")
            elif kind.name == "anyOf":
                reasons = [branch[0].message for branch in kind.context if branch]
                yield fault(pointer, "; ".join(reasons))
            else:
                yield fault(pointer, error.message)


def pointer_to(path):
    """The JSON Pointer (RFC 6901) of a path of names and indexes."""
    return "".join(
        "/" + str(part).replace("~", "~0").replace("/", "~1") for part in path
    )


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
        raise Problem(400, "This is nested too deeply.") from None
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


NO_STORE = {"Cache-Control": "no-cache, no-store, max-age=0"}


def answers(shape, *statuses, headers=()):
    """Answer with what the verb returns, as its read schema says.

    `shape`: a model, or a read schema. `statuses`: what it may answer with, 200 unless
    given; a verb that has a choice returns (result, status). `headers`: more of them.
    """
    schema = getattr(shape, "read_schema", shape)
    statuses = statuses or (200,)

    def decorator(verb):
        @wraps(verb)
        def wrapper(*args, **kwargs):
            result = verb(*args, **kwargs)
            status = statuses[0]
            if type(result) is tuple:
                result, status = result
            if schema is shape:
                again = RETRY if status == 503 else {}
                return answer(result, status, headers={**dict(headers), **again})
            return answer_item(shape, result, status)

        return conditional(
            describes(wrapper, responses=_documents(shape, schema, statuses))
        )

    return decorator


def answers_nothing(verb):
    """Answer 204: it is gone."""

    @wraps(verb)
    def wrapper(*args, **kwargs):
        verb(*args, **kwargs)
        response = Response(status=204)
        del response.headers["Content-Type"]
        return response

    return conditional(describes(wrapper, responses={"204": {"description": "Gone."}}))


def answers_file(media_type):
    """Answer with a download; the verb returns its name, in two parts, and its text."""

    def decorator(verb):
        @wraps(verb)
        def wrapper(*args, **kwargs):
            stem, ending, content = verb(*args, **kwargs)
            return respond(
                content.encode(),
                content_type=f"{media_type}; charset=utf-8",
                headers={"Content-Disposition": attachment(stem, ending)},
            )

        content = {media_type: {"schema": {"type": "string"}}}
        response = {
            "description": "The file.",
            "headers": carrying("ETag", "Content-Disposition"),
            "content": content,
        }
        return conditional(describes(wrapper, responses={"200": response}))

    return decorator


def attachment(stem, ending):
    """The Content-Disposition of a download called `stem` and `ending`, as `.txt`, safe
    whatever the stem holds (RFC 6266)."""
    stem = "".join(
        "_" if unicodedata.category(c)[0] == "C" or c in '/\\:*?"<>|%' else c
        for c in stem
    )
    if DEVICE_FILE.fullmatch(stem):
        stem = f"_{stem}"
    stem = stem.encode()[: LONGEST_NAME - len(ending)].decode(errors="ignore")
    safe = stem + ending
    plain = safe.encode("ascii", "replace").decode().replace("?", "_")
    header = f'attachment; filename="{plain}"'
    # RFC 8187: the real name for those who can read it.
    return header if plain == safe else f"{header}; filename*=UTF-8''{quote(safe, '')}"


def _documents(shape, schema, statuses):
    content = {JSON: {"schema": schema}}
    of_item = [] if schema is shape else ["Last-Modified"]
    return {
        str(status): {
            "description": f"{HTTPStatus(status).phrase}.",
            "headers": carrying(
                "ETag", *of_item, *["Location"] * (status in (201, 202))
            ),
            "content": content,
        }
        for status in statuses
    }
