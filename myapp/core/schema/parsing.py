"""Parse text from a query or a body as the value of a property."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from math import inf

from .fields import MAX_INT64, Schema, json_types

NUMBER_PATTERN = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?")
MAX_DATETIME = datetime.max  # stored for "no time", so a client may not send it


def parse_value(
    schema: Schema, text: str
) -> int | float | bool | str | datetime | date | None:
    """Return the value that `text` from a query has for a property of this `schema`.

    Times become naive UTC datetimes, dates become dates. Raises ValueError with a message
    for the client.
    """
    types = json_types(schema)
    if "integer" in types:
        if not re.fullmatch(r"-?[0-9]{1,19}", text) or abs(int(text)) > MAX_INT64:
            raise ValueError("Must be an integer of at most 64 bits.")
        return int(text)
    if "number" in types:
        if not NUMBER_PATTERN.fullmatch(text) or abs(float(text)) == inf:
            raise ValueError("Must be a number.")
        return float(text)
    if "boolean" in types:
        if text not in ("true", "false"):
            raise ValueError("Must be true or false.")
        return text == "true"
    if schema.get("format") in TIME_PARSERS:
        return TIME_PARSERS[schema["format"]](text)
    if "\0" in text:
        raise ValueError("Must not contain NUL.")
    return text


def parse_datetime(text: str) -> datetime:
    """Return an RFC 3339 date-time as a naive UTC datetime. Raises ValueError."""
    try:
        value = datetime.fromisoformat(text.upper())
        if value.tzinfo:
            value = value.astimezone(UTC).replace(tzinfo=None)
            if value != MAX_DATETIME:
                return value
    except (ValueError, OverflowError):
        pass
    raise ValueError("Must be an RFC 3339 date-time, such as 2026-11-21T07:40:00Z.")


def parse_date(text: str) -> date:
    """Return an RFC 3339 full-date as a date. Raises ValueError."""
    try:
        if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError("Must be an RFC 3339 date, such as 2026-11-21.")


TIME_PARSERS: dict[str, Callable[[str], datetime | date]] = {
    "date-time": parse_datetime,
    "date": parse_date,
}
