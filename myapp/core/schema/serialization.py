"""Serialize values as JSON."""

import orjson


def dumps(data):
    """`data` as JSON bytes; naive datetimes are UTC, written with a Z."""
    return orjson.dumps(data, option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z)
