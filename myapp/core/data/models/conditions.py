"""Conditions of a query, and text normalized for search."""

import re
import unicodedata
from collections.abc import Hashable, Mapping
from typing import Any

from sqlalchemy import bindparam


def normalize_for_search(*texts: str | None) -> str:
    """Normalize texts for a search that ignores case and Unicode form; join them."""
    text = "\n".join(filter(None, texts))
    if text.isascii():
        return text.lower()  # the same, in a tenth of the time
    return unicodedata.normalize("NFKC", text).casefold()


def like_pattern(words: str) -> str:
    """Return the LIKE pattern for text that contains the words; a slash escapes."""
    return "%" + re.sub("[/%_]", r"/\g<0>", normalize_for_search(words)) + "%"


# Three views of a dict of conditions. A tuple becomes part of the statement itself; any
# other value is a bound parameter.
def condition_key(conditions: Mapping[str, Any]) -> Hashable:
    """Return the cache key of conditions: equal for equal statements."""
    return tuple(
        (name, value if type(value) is tuple else value is None)
        for name, value in conditions.items()
    )


def bind_params(prefix: str, conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the conditions with bound parameters in place of their values."""
    return {
        name: (
            value if value is None or type(value) is tuple else bindparam(prefix + name)
        )
        for name, value in conditions.items()
    }


def bind_values(prefix: str, conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of these bound parameters, by the parameters' names."""
    return {
        prefix + name: value
        for name, value in conditions.items()
        if value is not None and type(value) is not tuple
    }
