"""Parse text from a query or a body as the value of a property."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from math import inf

from .fields import BIGGEST, Schema, kinds

NUMBER = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?")
NEVER = datetime.max  # stored for "no time", so a client may not send it


def parsed(
    schema: Schema, text: str
) -> int | float | bool | str | datetime | date | None:
    """Return the value that `text` from a query has for a property of this `schema`.

    Times become naive UTC datetimes, dates become dates. Raises ValueError with a message
    for the client.
    """
    types = kinds(schema)
    if "integer" in types:
        if not re.fullmatch(r"-?[0-9]{1,19}", text) or abs(int(text)) > BIGGEST:
            raise ValueError("Must be an integer of at most 64 bits.")
        return int(text)
    if "number" in types:
        if not NUMBER.fullmatch(text) or abs(float(text)) == inf:
            raise ValueError("Must be a number.")
        return float(text)
    if "boolean" in types:
        if text not in ("true", "false"):
            raise ValueError("Must be true or false.")
        return text == "true"
    if schema.get("format") in TIMES:
        return TIMES[schema["format"]](text)
    if "\0" in text:
        raise ValueError("Must not contain NUL.")
    return text


def as_datetime(text: str) -> datetime:
    """Return an RFC 3339 date-time as a naive UTC datetime. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text.upper())
        if moment.tzinfo:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
            if moment != NEVER:
                return moment
    except (ValueError, OverflowError):
        pass
    raise ValueError("Must be an RFC 3339 date-time, such as 2026-11-21T07:40:00Z.")


def as_date(text: str) -> date:
    """Return an RFC 3339 full-date as a date. Raises ValueError."""
    try:
        if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError("Must be an RFC 3339 date, such as 2026-11-21.")


TIMES: dict[str, Callable[[str], datetime | date]] = {
    "date-time": as_datetime,
    "date": as_date,
}
