"""Decide whether a document may replace a former one."""

import re

import orjson

from .comparison import Comparison
from .dereference import canonical_json

VERSION_PATTERN = re.compile(r"(\d+)\.(\d+)\.\d+([-+].*)?")
# The errors of a comparison with a malformed document.
MALFORMED_ERRORS = (
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


def read_document(data):
    """Parse a document. Raises ValueError, whose message continues after its name."""
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
    """Return a report as lines, and whether `new` may replace `old`.

    Raises ValueError as `breaking_changes` does.
    """
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
    """Return whether the version of `new` allows breaking changes.

    The major number must be higher, or while it is 0, the minor number: semver.org §4 then
    allows any change, but Cargo also treats 0.3.1 as compatible with 0.3.0.
    """
    return compatibility_version(new["info"]["version"]) > compatibility_version(
        old["info"]["version"]
    )


def compatibility_version(version):
    """Return the part of a version that a breaking change must raise: (major, minor)."""
    major, minor, _ = VERSION_PATTERN.fullmatch(version).groups()
    return int(major), 0 if int(major) else int(minor)


def breaking_changes(old, new):
    """Return the changes from `old` to `new` that break clients, as sentences.

    Raises ValueError if a document is malformed: a `$ref` without a target or to another
    document, or a list instead of an object.
    """
    try:
        differences = list(Comparison(old, new).documents())
    except MALFORMED_ERRORS as error:
        raise ValueError(f"is not sound: {type(error).__name__}: {error}.") from error
    return list(dict.fromkeys(f"{place}: {what}." for place, what in differences))
