"""Conditions of a query, and text normalized for search."""

import re
import unicodedata

from sqlalchemy import bindparam


def folded(*texts):
    """Text made alike for a search without regard to case or Unicode form."""
    text = "\n".join(filter(None, texts))
    if text.isascii():
        return text.lower()  # the same, in a tenth of the time
    return unicodedata.normalize("NFKC", text).casefold()


def containing(words):
    """The pattern of LIKE, with slashes to escape by, for text that contains the words."""
    return "%" + re.sub("[/%_]", r"/\g<0>", folded(words)) + "%"


# Of conditions, name by name: what tells them apart when compiled, bound parameters in
# the place of their values, and the values for these. A tuple is part of the statement.
def shape(conditions):
    return tuple(
        (name, value if type(value) is tuple else value is None)
        for name, value in conditions.items()
    )


def stand_ins(prefix, conditions):
    return {
        name: (
            value if value is None or type(value) is tuple else bindparam(prefix + name)
        )
        for name, value in conditions.items()
    }


def named(prefix, conditions):
    return {
        prefix + name: value
        for name, value in conditions.items()
        if value is not None and type(value) is not tuple
    }
