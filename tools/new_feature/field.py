"""A property of a new feature, parsed from the command line."""

import re
from typing import NamedTuple

from myapp.core import MAX_INT64
from myapp.core.data.models.columns import MAX_INDEXED_CHARACTERS

from .project import all_models, check_word, model_of, refuse
from .words import identifier_of, in_words, sentence, with_article

MAX_TEXT_CHARACTERS = 10_000  # characters; MariaDB stores 65,535 bytes
MAX_CHOICE_CHARACTERS = 40  # characters
LIMITS = {  # lowest and highest by default; and at most
    "string": ((1, MAX_INDEXED_CHARACTERS), (0, MAX_INDEXED_CHARACTERS)),
    "text": ((1, 2000), (0, MAX_TEXT_CHARACTERS)),
    "integer": ((-(2**31), 2**31 - 1), (-MAX_INT64, MAX_INT64)),
    "number": ((-(10**15), 10**15), (-(10**15), 10**15)),
}
TEXTS = ("string", "text")
KINDS = (*LIMITS, "boolean", "date", "datetime", "enum", "reference")
NOT_UNIQUE = ("text", "boolean", "reference")
VERBS = {"is", "was", "has", "can", "may", "must"}  # first words of a boolean


class Field(NamedTuple):
    """A property of a feature's records. `other`: the model that a reference names."""

    name: str
    kind: str
    optional: bool
    unique: bool
    lowest: float | None = None
    highest: float | None = None
    choices: tuple[str, ...] = ()
    other: type | None = None

    @property
    def sortable(self):
        """Return whether pages can be sorted by the field on every database."""
        null = self.optional and self.kind not in ("boolean", "datetime")
        too_long = self.kind == "text" and self.highest > MAX_INDEXED_CHARACTERS
        return self.kind != "reference" and not null and not too_long

    @property
    def schema(self):
        """Return the code of the schema."""
        words = in_words(self.name)
        described = f'"{sentence(words)}."'
        limits = f"{self.lowest}, {self.highest}, {described}, {self.example}"
        choices = ", ".join(f'"{choice}"' for choice in self.choices)
        if self.kind == "boolean":
            verb = "" if self.name.partition("_")[0] in VERBS else "is "
            default = ", default=False" if self.optional else ""
            return f'boolean("True if it {verb}{words}."{default})'
        code = {
            "string": f"text({limits})",
            "text": f"text({limits})",
            "integer": f"integer({limits})",
            "number": f"number({limits})",
            "date": f"date({described})",
            "datetime": f"date_time({described})",
            "enum": f"enum({described}, {choices})",
            "reference": f'reference("The {words}.")',
        }[self.kind]
        return f"optional({code})" if self.optional else code

    @property
    def example(self):
        """Return the code of an example."""
        if self.kind not in TEXTS:
            return (
                7
                if self.lowest is None or self.lowest <= 7 <= self.highest
                else self.lowest
            )
        text = f"Some {in_words(self.name)}"
        if self.lowest <= len(text) <= self.highest:
            return f'"{text}"'
        return f'"x" * {self.lowest}' if self.lowest > 1 else '"x"'


def parse(argument, feature_name=None):
    """Return the Field that an argument describes. Raise UsageError."""
    optional = "?" in argument
    name, *rest = (part.removesuffix("?") for part in argument.split(":"))
    kind, *details = rest or ["string"]
    check_word(name, f"A property cannot be called {name!r}")
    if kind not in KINDS:
        refuse(f"{argument}: unknown type {kind!r}; the types are {', '.join(KINDS)}.")
    unique = "unique" in details
    if unique:
        details.remove("unique")
    if unique and (kind in NOT_UNIQUE or optional and kind == "datetime"):
        refuse(f"{argument}: this type cannot be unique.")
    if len(details) > (kind not in ("boolean", "date", "datetime")):
        refuse(f"{argument}: unexpected {details[-1]!r}.")
    field = Field(name, kind, optional, unique)
    detail = details[0] if details else ""
    if kind == "enum":
        return field._replace(choices=parse_choices(argument, name, detail))
    if kind == "reference":
        return field._replace(
            other=parse_reference(argument, name, detail, feature_name)
        )
    if kind in LIMITS:
        lowest, highest = parse_limits(argument, name, kind, detail)
        return field._replace(lowest=lowest, highest=highest)
    return field


def parse_choices(argument, name, detail):
    choices = tuple(dict.fromkeys(map(str.strip, detail.split(","))))
    valid = rf"[\w .-]{{1,{MAX_CHOICE_CHARACTERS}}}"
    if len(choices) < 2 or not all(re.fullmatch(valid, choice) for choice in choices):
        refuse(
            f"{argument}: list the values, as {name}:enum:new,used; each has at most "
            f"{MAX_CHOICE_CHARACTERS} letters, digits, spaces, dots and hyphens."
        )
    return choices


def parse_reference(argument, name, detail, feature_name):
    target = detail or next(
        (m.collection for m in all_models() if identifier_of(m) == name), None
    )
    if not target:
        refuse(f"{argument}: name the feature, as {name}:reference:authors.")
    if target == feature_name:
        refuse(f"{argument}: {target} cannot refer to {target}.")
    return model_of(target, argument)


def parse_limits(argument, name, kind, detail):
    """Return the lowest and the highest of `2..120`; of `120`, for a text."""
    (lowest, highest), (least, most) = LIMITS[kind]
    if not detail:
        return lowest, highest
    number = float if kind == "number" else int
    first, dots, last = detail.partition("..")
    if kind in TEXTS and not dots:
        first, last = lowest, first
    try:
        ends = number(first), number(last)
        lowest, highest = (int(end) if end == int(end) else end for end in ends)
    except (ValueError, OverflowError):
        refuse(f"{argument}: write limits as {name}:{kind}:1..50.")
    empty = lowest > highest or highest < 1 if kind in TEXTS else lowest >= highest
    if empty:
        refuse(f"{argument}: there is no value between {lowest} and {highest}.")
    if lowest < least or highest > most:
        hint = " Longer texts have the type text." if kind == "string" else ""
        refuse(f"{argument}: {with_article(kind)} is from {least} to {most}.{hint}")
    return lowest, highest
