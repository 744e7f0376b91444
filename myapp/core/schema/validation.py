"""Validate a body against its write schema."""

from functools import cached_property

import jsonschema_rs

from ..errors import Invalid, Malformed, fault
from .fields import NO_NUL, is_optional, kinds
from .parsing import TIMES


class Body:
    """A write schema, compiled once."""

    def __init__(self, schema):
        self.schema = schema
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

    @cached_property
    def _validator(self):
        # Compiled when it is first needed: the permissions of a role, for one, are complete
        # only when all features are there. The mask keeps what was sent, a password
        # perhaps, out of the messages.
        return jsonschema_rs.Draft202012Validator(
            self.schema, validate_formats=True, mask="the value"
        )

    def _named(self, test):
        return [n for n, schema in self.schema["properties"].items() if test(schema)]

    def check(self, data):
        """`data` as the models take it: what was left out is there with its default,
        integers are int, numbers float, times naive UTC datetimes, dates dates. Raises 422
        with every fault."""
        try:
            if not self._validator.is_valid(data):
                raise Invalid(errors=list(self._faults(data)))
        except ValueError:  # the validator's recursion limit
            raise Malformed("This is nested too deeply.") from None
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
                    raise Invalid(errors=[fault(f"/{name}", str(error))]) from None
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
