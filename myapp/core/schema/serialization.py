"""Serialize values as JSON."""

from typing import Any

import orjson


def dumps(data: Any) -> bytes:
    """Return `data` as JSON; naive datetimes are UTC and end in `Z`."""
    return orjson.dumps(data, option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z)
