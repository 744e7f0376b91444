"""Words: singular, plural, identifiers, sentences."""

import re
from functools import cache

from myapp.core.data.models.schema_model import spoken

NAME = re.compile("[a-z][a-z0-9]*(_[a-z0-9]+)*")
INITIALISMS = {*"api gps html id ip isbn mp3 pdf sms url uuid".split()}


@cache
def english():
    import inflect  # takes two seconds, and nothing else needs it

    return inflect.engine()


def singular_of(name):
    """One of what an English plural names; of what is no plural, the same."""
    found = english().singular_noun(name.replace("_", " ")) or ""
    found = found.replace(" ", "_")
    return found if NAME.fullmatch(found) else name


def in_words(name):
    """How a sentence has it: `ip_addresses` are IP addresses."""
    words = name.split("_")
    return " ".join(word.upper() if word in INITIALISMS else word for word in words)


def sentence(words):
    return words[0].upper() + words[1:]


def one(words):
    """The words with their article, as they are spoken."""
    first = words.split()[0]
    if first.isupper():
        return f"an {words}" if first[0] in "AEFHILMNORSX" else f"a {words}"
    return english().a(words)


def quoted(names):
    return ", ".join(f'"{name}"' for name in names)


def camel(name):
    return "".join(part.capitalize() for part in name.split("_"))


def in_code(model):
    """What code calls one of a model's things: smart_lock."""
    return spoken(model).replace(" ", "_")


def free(name, taken, prefix):
    """The name, with a prefix where, and as long as, it is taken."""
    while name in taken:
        name = prefix + name
    return name
