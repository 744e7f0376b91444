"""Parse text from a query or a body as the value of a property."""

import re
from datetime import UTC, date, datetime
from math import inf

from .fields import BIGGEST, kinds

NUMBER = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?")
NEVER = datetime.max  # what a column holds for no time, so nobody may say it


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
