"""Words: singular and plural, identifiers, sentences."""

import re
from functools import cache

import click

from myapp.core.data.models.schema_model import human_name

NAME = re.compile("[a-z][a-z0-9]*(_[a-z0-9]+)*")
INITIALISMS = {*"api gps html id ip isbn mp3 pdf sms url uuid".split()}


@cache
def inflector():
    """Return the engine for English plurals and articles. Raise ClickException."""
    try:
        return import_inflect().engine()
    except ImportError:
        message = (
            "This command needs the package inflect. To install it: make .venv/dev."
        )
        raise click.ClickException(message) from None


def import_inflect():
    """Import inflect without its checks of argument types, which take two seconds to
    compile."""
    import typeguard

    decorator = typeguard.typechecked
    typeguard.typechecked = lambda function: function
    try:
        import inflect
    finally:
        typeguard.typechecked = decorator
    return inflect


def singular_of(name):
    """Return the singular of an English plural; of any other word, the word itself."""
    singular = inflector().singular_noun(name.replace("_", " ")) or ""
    singular = singular.replace(" ", "_")
    return singular if NAME.fullmatch(singular) else name


def in_words(name):
    """Return a name as a sentence has it: `ip_addresses` are IP addresses."""
    words = name.split("_")
    return " ".join(word.upper() if word in INITIALISMS else word for word in words)


def sentence(words):
    """Return words with a capital first letter."""
    return words[0].upper() + words[1:]


def with_article(words):
    """Return the words after "a" or "an", by how they are pronounced."""
    first = words.split()[0]
    if first.isupper():
        return f"an {words}" if first[0] in "AEFHILMNORSX" else f"a {words}"
    return inflector().a(words)


def camel(name):
    """Return a name in camel case."""
    return "".join(part.capitalize() for part in name.split("_"))


def identifier_of(model):
    """Return what code calls a record of `model`, as `smart_lock`."""
    return human_name(model).replace(" ", "_")
