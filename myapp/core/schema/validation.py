"""Validate a body against its write schema."""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

import jsonschema_rs
from jsonschema_rs import ValidationErrorKind as Kind

from ..errors import Invalid, Malformed, fault
from .fields import NO_NUL_PATTERN, Schema, is_optional, json_types
from .parsing import TIME_PARSERS


class BodyValidator:
    """A write schema, compiled once."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._defaults = {
            name: described.get("default")
            for name, described in schema["properties"].items()
            if is_optional(described)
        }
        self._integers = self._names_where(
            lambda described: "integer" in json_types(described)
        )
        self._numbers = self._names_where(
            lambda described: "number" in json_types(described)
        )
        self._times = {
            name: TIME_PARSERS[described["format"]]
            for name, described in schema["properties"].items()
            if described.get("format") in TIME_PARSERS
        }

    @cached_property
    def _validator(self) -> jsonschema_rs.Draft202012Validator:
        # Compiled on first use, because the enum of a role's permissions is complete only
        # when all features are loaded. The mask keeps the value, which may be a password,
        # out of the messages.
        return jsonschema_rs.Draft202012Validator(
            self.schema, validate_formats=True, mask="the value"
        )

    def _names_where(self, test: Callable[[Schema], bool]) -> list[str]:
        return [n for n, schema in self.schema["properties"].items() if test(schema)]

    def validate(self, data: Any) -> dict[str, Any]:
        """Validate `data` and return it in the form that models take.

        Omitted optional properties have their default. Integers are int, numbers float,
        times naive UTC datetimes, dates date. Raises Invalid (422) with every error, or
        Malformed (400) if the body is nested too deeply.
        """
        try:
            if not self._validator.is_valid(data):
                raise Invalid(errors=list(self._faults(data)))
        except ValueError:  # the recursion limit of the validator
            raise Malformed("The body is nested too deeply.") from None
        body = {**self._defaults, **data}
        for name in self._integers:
            if isinstance(body[name], float):  # JSON Schema takes 3.0 as an integer
                body[name] = int(body[name])
        for name in self._numbers:
            if body[name] is not None:
                body[name] = float(body[name])
        for name, parse in self._times.items():
            if body[name] is not None:
                try:
                    body[name] = parse(body[name])
                except ValueError as error:
                    raise Invalid(errors=[fault(f"/{name}", str(error))]) from None
        return body

    def _faults(self, data: Any) -> Iterator[dict[str, str]]:
        for error in self._validator.iter_errors(data):
            pointer = pointer_to(error.instance_path)
            match error.kind:
                case Kind.Required(property=name):
                    missing = f"{pointer}{pointer_to([name])}"
                    yield fault(missing, "This property is required.")
                case Kind.AdditionalProperties(unexpected=names):
                    for name in names:
                        unknown = f"{pointer}{pointer_to([name])}"
                        yield fault(unknown, "Unknown property.")
                case Kind.Pattern(pattern=pattern) if pattern == NO_NUL_PATTERN:
                    yield fault(pointer, "Must not contain NUL.")
                case Kind.AnyOf(context=branches):
                    reasons = [
                        _sentence(errors[0].message) for errors in branches if errors
                    ]
                    yield fault(pointer, " ".join(reasons))
                case _:
                    yield fault(pointer, _sentence(error.message))


def _sentence(message: str) -> str:
    return f"{message[0].upper()}{message[1:]}."


def pointer_to(path: Iterable[str | int]) -> str:
    """Return the JSON Pointer (RFC 6901) of a path of names and indexes."""
    return "".join(
        "/" + str(part).replace("~", "~0").replace("/", "~1") for part in path
    )
