"""A property of a new feature, parsed from the command line."""

import re
from string import ascii_uppercase
from typing import NamedTuple

from myapp.core.data.models.columns import LONGEST_INDEXED
from myapp.core.schema.examples import example_of
from myapp.core.schema.fields import BIGGEST

from .project import all_models, check_word, found, wrong
from .words import in_code, in_words, one, quoted, sentence

LONGEST_TEXT = 10_000  # characters; MariaDB keeps 65,535 bytes
LONGEST_CHOICE = 40  # characters, so that a line of a test has room for one
LONGEST_EXAMPLE = 20  # characters of a text that is written out and says nothing
USUAL = {  # lowest and highest, where nothing is said
    "string": (1, LONGEST_INDEXED),
    "text": (1, 2000),
    "integer": (-(2**31), 2**31 - 1),
    "number": (-(10**15), 10**15),
}
KINDS = (*USUAL, "boolean", "date", "datetime", "enum", "reference")
VERBS = {"is", "was", "has", "can", "may", "must"}  # what is true or false begins so


class Field(NamedTuple):
    """A property of the things of a slice, as it was asked for."""

    name: str
    kind: str
    optional: bool
    unique: bool
    lowest: float | None = None
    highest: float | None = None
    choices: tuple = ()
    other: type | None = None

    @property
    def words(self):
        return in_words(self.name)

    @property
    def sortable(self):
        """Whether pages can be sorted by it on every database."""
        null = self.optional and self.kind not in ("boolean", "datetime")
        return not null and self.kind != "reference" and self.indexable

    @property
    def indexable(self):
        texts = ("string", "text")
        return self.kind not in texts or self.highest <= LONGEST_INDEXED

    @property
    def schema(self):
        """What stands in `write_schema`."""
        told = f"{sentence(self.words)}."
        limits = f"{self.lowest}, {self.highest}"
        (example,) = self.examples(1)
        if self.kind == "boolean":
            default = ", default=False" if self.optional else ""
            said = self.name.partition("_")[0] in VERBS
            return f'flag("Whether it {"" if said else "is "}{self.words}."{default})'
        made = {
            "string": lambda: f'text({limits}, "{told}", {example})',
            "text": lambda: f'text({limits}, "{told}", {example})',
            "integer": lambda: f'integer({limits}, "{told}", {example})',
            "number": lambda: f'number({limits}, "{told}", {example})',
            "date": lambda: f'day("{told}")',
            "datetime": lambda: f'moment("{told}")',
            "enum": lambda: f'choice("{told}", {quoted(self.choices)})',
            "reference": lambda: f'reference("The {self.words}.")',
        }[self.kind]()
        return f"optional({made})" if self.optional else made

    @property
    def helpers(self):
        """The functions of schema.py that this takes."""
        names = {"string": "text", "boolean": "flag", "date": "day"}
        names |= {"datetime": "moment", "enum": "choice"}
        wrapped = self.optional and self.kind != "boolean"
        return {names.get(self.kind, self.kind)} | ({"optional"} if wrapped else set())

    @property
    def column(self):
        """What stands in the migration."""
        if self.kind == "enum":
            return f"text({max(map(len, self.choices))})"
        if self.kind in ("string", "text"):
            return f"text({self.highest})" if self.indexable else "sa.Text()"
        return {
            "integer": "sa.BigInteger()",
            "number": "sa.Double()",
            "boolean": "sa.Boolean()",
            "date": "sa.Date()",
            "datetime": "MOMENT",
            "reference": "KEY",
        }[self.kind]

    @property
    def nullable(self):
        return self.optional and self.kind not in ("boolean", "datetime")

    def examples(self, count):
        """So many values of it, unlike each other, as they stand in code."""
        if self.kind in ("string", "text"):
            return self.texts()[:count]
        if self.kind in ("integer", "number"):
            usual = 7 if self.lowest <= 7 < self.highest else self.lowest
            step = 1 if self.kind == "integer" else min(0.5, self.highest - usual)
            return [usual, usual + step][:count]
        if self.kind == "enum":
            return [f'"{choice}"' for choice in self.choices[:count]]
        return {
            "boolean": ["True", "False"],
            "date": ['"2026-11-21"', '"2027-02-28"'],
            "datetime": ['"2026-11-21T07:40:00Z"', '"2027-02-28T12:00:00Z"'],
        }.get(self.kind, [7, 8])[:count]

    def texts(self):
        texts = [f"{what} {self.words}" for what in ("Some", "Another")]
        if not all(self.lowest <= len(text) <= self.highest for text in texts):
            length = min(self.highest, max(self.lowest, 8))
            if length > LONGEST_EXAMPLE:
                return [f'"x" * {length}', f'"y" * {length}']
            texts = [ascii_uppercase[:length], ascii_uppercase[-length:]]
        return [f'"{text}"' for text in texts]

    @property
    def beyond(self):
        """What makes a value that its limits do not let in, or None."""
        if self.kind in ("string", "text"):
            return f'"x" * {self.highest + 1}'
        if self.kind in ("integer", "number"):
            return f"{self.highest + 1}"
        return {
            "boolean": '"perhaps"',
            "date": '"2026-02-30"',
            "datetime": '"yesterday"',
            "enum": '"?"',
        }.get(self.kind)


def parse(text, features):
    """The Field that a word of the command line asks for. Raises UsageError."""
    optional = "?" in text
    name, *rest = (part.removesuffix("?") for part in text.split(":"))
    kind, *details = rest or ["string"]
    check_word(name, f"A property cannot be called {name!r}")
    if len(name) > 24:
        raise wrong(f"{name} is too long: a property has at most 24 letters.")
    if kind not in KINDS:
        raise wrong(f"{text}: there is no type {kind!r}; there are {', '.join(KINDS)}.")
    unique = "unique" in details
    if unique:
        details.remove("unique")
    never = kind in ("text", "boolean", "reference")
    if unique and (never or optional and kind == "datetime"):
        raise wrong(f"{text}: {one(kind)} like that cannot be unique.")
    if len(details) > (kind not in ("boolean", "date", "datetime")):
        raise wrong(f"{text}: what is {details[-1]!r}?")
    field = Field(name, kind, optional, unique)
    (detail,) = details or [None]
    if kind == "enum":
        choices = tuple(dict.fromkeys(map(str.strip, (detail or "").split(","))))
        fit = rf"[\w .-]{{1,{LONGEST_CHOICE}}}"
        if len(choices) < 2 or not all(re.fullmatch(fit, c) for c in choices):
            raise wrong(
                f"{text}: name what it can be, as {name}:enum:new,used, each in at most "
                f"{LONGEST_CHOICE} letters."
            )
        return field._replace(choices=choices)
    if kind == "reference":
        usual = [m.collection for m in all_models() if in_code(m) == name]
        if not detail and not usual:
            raise wrong(f"{text}: say to what, as {name}:reference:authors.")
        return field._replace(other=found(detail or usual[0], text, features))
    if kind in USUAL:
        lowest, highest = limits(text, kind, detail)
        return field._replace(lowest=lowest, highest=highest)
    return field


def limits(text, kind, detail):
    """The lowest and the highest that `2..120` asks for, or, of a text, `120`. Raises
    UsageError."""
    lowest, highest = USUAL[kind]
    texts = kind in ("string", "text")
    if detail is None:
        return lowest, highest
    number = float if kind == "number" else int
    try:
        first, dots, last = detail.partition("..")
        alone = texts and not dots
        ends = [number(end) for end in ((lowest, first) if alone else (first, last))]
        lowest, highest = (int(end) if end == int(end) else end for end in ends)
    except (ValueError, OverflowError):
        raise wrong(f"{text}: write limits as {name_of(text)}:{kind}:1..50.") from None
    if lowest > highest or highest < 1 if texts else lowest >= highest:
        raise wrong(f"{text}: nothing lies between {lowest} and {highest}.")
    most = {"string": LONGEST_INDEXED, "text": LONGEST_TEXT, "integer": BIGGEST}
    most = most.get(kind, USUAL["number"][1])
    if highest > most or lowest < (0 if texts else -most):
        hint = " Longer ones are of the type text." if kind == "string" else ""
        raise wrong(f"{text}: that is beyond what {one(kind)} can be.{hint}")
    return lowest, highest


def name_of(text):
    return text.partition(":")[0]


def code_for(schema, another=False):
    """A value that fits a property, as it stands in code: its example, or another one."""
    value = example_of(schema)
    kind = "enum" if "enum" in schema else schema.get("format", schema["type"])
    if another:
        value = {
            "enum": lambda: schema["enum"][1],
            "date": lambda: "2027-02-28",
            "date-time": lambda: "2027-02-28T12:00:00Z",
            "string": lambda: unlike(value, schema["maxLength"]),
        }.get(kind, lambda: schema["maximum"])()
    if kind == "string" and len(value) > LONGEST_CHOICE:
        return f"{value[:1]!r} * {max(schema['minLength'], 1)}"
    return repr(value)


def unlike(text, longest):
    """Another text, as long; in other words where there is room for them."""
    other = re.sub("^Some ", "Another ", text)
    if text != other and len(other) <= longest:
        return other
    return ("y" if text[:1] == "x" else "x") + text[1:]
