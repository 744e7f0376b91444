"""Decide whether a document may replace a former one: what it breaks, and its version."""

import re

import orjson

from .comparison import Comparison
from .dereference import canonical_json

VERSION_PATTERN = re.compile(r"(\d+)\.(\d+)\.\d+([-+].*)?")
# What comes of a document whose parts are not what they should be.
MALFORMED_ERRORS = (
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


def read_document(data):
    """A document from its bytes. Raises ValueError, whose message goes on after a name."""
    if not data.strip():
        raise ValueError("is empty: a shell empties the file that `>` names at once.")
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error}.") from None
    if not isinstance(document, dict) or not re.match(
        r"3\.1\.", str(document.get("openapi"))
    ):
        raise ValueError("is no OpenAPI 3.1 document.")
    info = document.get("info")
    version = info.get("version") if isinstance(info, dict) else None
    if not VERSION_PATTERN.fullmatch(str(version)):
        raise ValueError(f"has no version like 1.2.3, but {canonical_json(version)}.")
    return document


def judge(old, new):
    """What there is to say of a document and its successor, as lines, and whether the
    successor will do. Raises ValueError as `breaking_changes` does."""
    breaks = breaking_changes(old, new)
    was, now = old["info"]["version"], new["info"]["version"]
    if not breaks:
        return [f"Nothing that a client of {was} relies on has changed."], True
    if may_break(old, new):
        return [*breaks, f"The step from {was} to {now} allows that."], True
    major, minor = compatibility_version(was)
    least = f"0.{minor + 1}.0" if not major else f"{major + 1}.0.0"
    return [*breaks, f"Version {now} may not break {was}: it must be {least}."], False


def may_break(old, new):
    """Whether the version of a document has moved so far that it may break the old one.

    The major number must have moved on. While it is 0, the minor number counts in its
    place: anything may change then (semver.org §4), and who builds on 0.3 wants to know
    that 0.3.1 is safe, which is how Cargo reads it.
    """
    return compatibility_version(new["info"]["version"]) > compatibility_version(
        old["info"]["version"]
    )


def compatibility_version(version):
    """(major, minor) as far as they may not stand still where something breaks."""
    major, minor, _ = VERSION_PATTERN.fullmatch(version).groups()
    return int(major), 0 if int(major) else int(minor)


def breaking_changes(old, new):
    """What breaks clients of the document `old` where `new` takes its place: sentences,
    each with its place; none where nothing does.

    Raises ValueError where one of them is no sound document: a `$ref` that leads nowhere
    or out of it, a list where an object should be.
    """
    try:
        differences = list(Comparison(old, new).documents())
    except MALFORMED_ERRORS as error:
        raise ValueError(f"is not sound: {type(error).__name__}: {error}.") from error
    return list(dict.fromkeys(f"{place}: {what}." for place, what in differences))
