"""`flask new-feature`: a slice, its migration, its line in FEATURES.

What it writes stands in `templates/slice/`. It is written into a copy of the project, put
into form and tried there, and brought over as a whole.
"""

import ast
import builtins
import keyword
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from contextlib import contextmanager
from datetime import date
from fnmatch import fnmatch
from functools import cache, cached_property
from inspect import getsource
from pathlib import Path
from string import ascii_uppercase
from typing import NamedTuple

import click
from alembic.script import ScriptDirectory
from flask import current_app
from flask.cli import with_appcontext
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy.dialects.mysql.reserved_words import RESERVED_WORDS_MARIADB
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

from .db import MIGRATIONS, sql
from .model import LONGEST_INDEXED, MOST_SEARCHED, Below, Governed, Owned, RedisModel
from .model import SqlModel, spoken
from .openapi import example_of, openapi
from .paging import OWN
from .schema import BIGGEST
from .yours import is_there, tidy

PACKAGE = Path(__file__).parent
PROJECT = PACKAGE.parent
TEMPLATES = Environment(
    loader=FileSystemLoader(PACKAGE / "templates" / "slice"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
TRIED = ("migrations", "default_config.py", "openapi.json")  # beside the package
LONGEST_TEXT = 10_000  # characters; MariaDB keeps 65,535 bytes
LONGEST_NAME = 63  # characters of the name of an index, in PostgreSQL
LONGEST_CHOICE = 40  # characters, so that a line of a test has room for one
LONGEST_EXAMPLE = 20  # characters of a text that is written out and says nothing
USUAL = {  # lowest and highest, where nothing is said
    "string": (1, LONGEST_INDEXED),
    "text": (1, 2000),
    "integer": (-(2**31), 2**31 - 1),
    "number": (-(10**15), 10**15),
}
KINDS = (*USUAL, "boolean", "date", "datetime", "enum", "reference")
NAME = re.compile("[a-z][a-z0-9]*(_[a-z0-9]+)*")
INITIALISMS = {*"api gps html id ip isbn mp3 pdf sms url uuid".split()}
VERBS = {"is", "was", "has", "can", "may", "must"}  # what is true or false begins so
# What a model sets on itself, which no property can be called.
SET = set(
    re.findall(r"\b(?:cls|self)\.(\w+) = ", getsource(sys.modules[SqlModel.__module__]))
)


def words_of(template):
    """The words of the code in a template: without its strings and what is filled in."""
    code = (PACKAGE / "templates" / "slice" / template).read_text(encoding="utf-8")
    for pattern in (r"{{.*?}}|{%.*?%}", '""".*?"""', r'"[^"\n]*"', "#.*"):
        code = re.sub(pattern, " ", code)
    return set(re.findall(r"\w+", code))


# A slice of such a name would hide what its own code needs.
WORDS = {
    *words_of("endpoints.py.jinja"),
    *("endpoints", "models", "tasks", "Below", "Governed", "Owned"),
    *("RedisModel", "SqlModel"),
}
TESTED = words_of("test.py.jinja")


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


def quoted(names):
    return ", ".join(f'"{name}"' for name in names)


# What was asked for


def wrong(told):
    return click.UsageError(told)


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


def check_word(word, told):
    """Raises UsageError where no property and no slice can be called that."""
    if not NAME.fullmatch(word):
        raise wrong(f"{told}: use small letters, digits and single underscores.")
    if keyword.iskeyword(word):
        raise wrong(f"{told}: that is a word of Python.")


def found(name, text, features):
    """The model of the slice that a word of the command line names. Raises UsageError."""
    models = [
        m for m in all_models() if m.collection == name and issubclass(m, SqlModel)
    ]
    if name not in features or not models:
        raise wrong(f"{text}: there is no feature {name!r} in SQL to name things of.")
    if issubclass(models[0], Below):
        raise wrong(
            f"{text}: {name} hang below something themselves, and nothing can hang below "
            "such things or refer to them."
        )
    place = f"{current_app.config['API_PREFIX']}/{name}"
    get, post = verb_at(f"{place}/<int:id>", "get"), verb_at(f"{place}/", "post")
    content = post.operation["requestBody"]["content"] if post else {}
    if getattr(get, "guarded", None) != () or "application/json" not in content:
        raise wrong(
            f"{text}: things of {name} are not for everybody to make and to read."
        )
    return models[0]


def verb_at(rule, verb):
    """What a Resource does at an address, or None."""
    for each in current_app.url_map.iter_rules():
        if each.rule == rule and not each.build_only:
            view = getattr(
                current_app.view_functions[each.endpoint], "view_class", None
            )
            return getattr(view, verb, None)


def all_models():
    mapped = [mapper.class_ for mapper in sql.Model.registry.mappers]
    return [
        *(model for model in mapped if issubclass(model, SqlModel)),
        *RedisModel.__subclasses__(),
    ]


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


class Slice:
    """A slice to be written. Raises UsageError where it cannot be.

    `features`: the names of those that there are. Its properties are what the templates
    ask for.
    """

    def __init__(self, name, fields, store, shared, parent, singular, features):
        self.name, self.redis = name, store == "redis"
        check_word(name, f"A feature cannot be called {name!r}")
        self.singular = singular_of(name) if singular is None else singular
        self.model = camel(self.singular)
        self._check_name(features)
        self.fields = [self._parsed(text, features) for text in fields]
        self.parent = None
        if parent is not None:
            self.parent = found(parent, f"--parent {parent}", features)
        if self.parent and (shared or self.redis):
            with_ = "--open" if shared else "--store redis"
            raise wrong(f"--parent does not go with {with_}.")
        self.owned = not shared and not self.parent
        self.private = self.owned or (self.parent and issubclass(self.parent, Owned))
        self._check_fields()

    def _parsed(self, text, features):
        if text.replace("?", "").split(":")[1:] == ["reference", self.name]:
            raise wrong(f"{text}: {self.name} cannot refer to {self.name}.")
        return parse(text, features)

    def _check_name(self, features):
        name = self.name
        told = f"A feature cannot be called {name!r}"
        check_word(self.singular, f"One of them cannot be called {self.singular!r}")
        if len(name) > 24 or len(self.singular) > 24:
            raise wrong(f"{told}: it has at most 24 letters.")
        if name in features:
            raise wrong(f"{told}: there is one of that name.")
        package = sys.modules[__package__]
        tests = [*PROJECT.glob(f"tests/**/test_{name}.py"), PACKAGE / f"{name}.py"]
        taken = (PACKAGE / name, *tests)
        if any(map(is_there, taken)) or hasattr(package, name):
            raise wrong(f"{told}: the project has something of that name.")
        if (PROJECT / f"{name}.py").exists() or [*(PROJECT / name).glob("*.py")]:
            raise wrong(f"{told}: a module beside {PACKAGE.name} has that name.")
        if name in {*sql.metadata.tables, "alembic_version"}:
            raise wrong(f"{told}: a table has that name.")
        if is_ignored(name):
            raise wrong(f"{told}: .gitignore hides what is called so.")
        if name in WORDS or hasattr(builtins, name) or self.model in WORDS:
            raise wrong(f"{told}: it would hide a word that its own code needs.")
        if name in RESERVED_WORDS | RESERVED_WORDS_MARIADB:
            raise wrong(f"{told}: that is a word of SQL.")
        titles = {f"{self.model}{end}" for end in ("", "Write", "Patch", "Page")}
        for model in all_models():
            if model.__name__ in titles or self.model == model.__name__:
                raise wrong(
                    f"{told}: {spoken(model)} is what a thing of "
                    f"{model.collection} is called. Say --singular."
                )
        for title in titles & openapi(current_app)["components"]["schemas"].keys():
            raise wrong(f"{told}: the document has another {title}. Say --singular.")

    def _check_fields(self):
        names = [field.name for field in self.fields]
        base = RedisModel if self.redis else Below if self.parent else SqlModel
        known = {*dir(base), *dir(Governed), *dir(Owned), *dir(SqlModel), *OWN}
        known |= {"self", "cls", "format", "owner_id", "url", self.above, *SET}
        for field in self.fields:
            if names.count(field.name) > 1:
                raise wrong(f"There are two properties {field.name}.")
            if field.name in known:
                raise wrong(
                    f"A property cannot be called {field.name!r}: that is taken."
                )
            if self.redis and (field.unique or field.other):
                what = "unique" if field.unique else "a reference"
                raise wrong(f"{field.name}: nothing in Redis can be {what}.")
            if field.other and issubclass(field.other, Owned) and not self.owned:
                raise wrong(
                    f"{field.name}: whose {spoken(field.other)} would that be? What has "
                    "no owner can only name what has none."
                )
        if not names:
            raise wrong(
                f"What does {one(self.words_of_one)} have? As title:string:120."
            )
        if len(names) > 40:
            raise wrong("That are more than 40 properties.")
        named = [f"ix_{self.name}_{'_'.join(names)}" for names in self.indexes]
        longest = max(named, key=len, default="")
        if len(longest) > LONGEST_NAME:
            raise wrong(f"The index {longest} would have too long a name.")

    # What the templates ask for

    words = property(lambda self: in_words(self.name))
    words_of_one = property(lambda self: in_words(self.singular))
    one = property(lambda self: one(self.words_of_one))
    title = property(lambda self: sentence(self.one))
    above = property(lambda self: in_code(self.parent) if self.parent else "")

    @property
    def collection(self):
        return free(camel(self.name), {self.model, *WORDS}, "All")

    @property
    def item(self):
        taken = {self.model, self.collection, *WORDS}
        return free(f"One{self.model}", taken, "One")

    @property
    def address(self):
        if not self.parent:
            return self.name
        return f"{self.parent.collection}/{{{self.above}_id}}/{self.name}"

    @property
    def below(self):
        if self.parent:
            return f"{self.parent.collection}/<int:{self.above}_id>"

    @property
    def summary(self):
        if self.parent:
            return f"The {self.words} of {one(in_words(self.above))}."
        return f"{sentence(self.words)}{', each of an account' * self.owned}."

    @property
    def telling(self):
        if self.parent:
            return f"the {self.words} of {one(in_words(self.above))}"
        return f"{self.words}{' that I own' * self.owned}"

    @property
    def place(self):
        """What answers there, in a line: of a long address, what that is."""
        told = f"`{{prefix}}/{self.address}/`: {self.telling}."
        return told if len(told) < 82 else sentence(f"{self.telling}.")

    @property
    def listed(self):
        if self.parent:
            return self.telling
        return f"your {self.words}" if self.owned else f"the {self.words}"

    @property
    def scope(self):
        if self.parent:
            return f", **{self.model}.{{}}({self.above}_id)"
        return f", **{self.model}.{{}}()" if self.owned else ""

    readable = property(lambda self: self.scope.format("readable"))
    writable = property(lambda self: self.scope.format("writable"))
    id_above = property(lambda self: f"{self.above}_id, " if self.parent else "")

    @property
    def belonging(self):
        if self.parent:
            return f"{self.writable[2:]}, "
        return "owner_id=g.caller.id, " if self.owned else ""

    @property
    def bases(self):
        if self.redis:
            return ["Governed", "RedisModel"] if self.owned else ["RedisModel"]
        kind = "Below" if self.parent else "Owned" if self.owned else None
        return [*filter(None, [kind]), "SqlModel"]

    @property
    def imports(self):
        """What the models import: pairs of a module and the names, in order."""
        models = [(f"..{name}.models", names) for name, names in self.others.items()]
        shared = [("..model", self.bases), ("..schema", self.helpers)]
        return sorted([*models, *shared])

    @property
    def others(self):
        """The models of other slices that this one names: {slice: names}."""
        models = {field.other for field in self.fields if field.other} | {self.parent}
        found = {}
        for model in sorted(filter(None, models), key=lambda model: model.__name__):
            found.setdefault(model.__module__.split(".")[-2], []).append(model.__name__)
        return dict(sorted(found.items()))

    @property
    def helpers(self):
        names = set().union(*(field.helpers for field in self.fields))
        return sorted(names | {"writing"} | ({"moment"} if self.redis else set()))

    @property
    def sortable(self):
        own = [field.name for field in self.fields if field.sortable]
        return ("id", *own, "created_at", "updated_at")

    @property
    def references(self):
        return [(f.name, f.other.__name__) for f in self.fields if f.other]

    @property
    def unique(self):
        return tuple(field.name for field in self.fields if field.unique)

    @property
    def scoped_by(self):
        return ["owner_id"] if self.owned else [self.above] if self.parent else []

    @property
    def columns(self):
        """What the migration makes, but for what every table has: (name, type, null)."""
        first = [(name, "KEY", False) for name in self.scoped_by]
        return first + [(f.name, f.column, f.nullable) for f in self.fields]

    @property
    def foreign_keys(self):
        """Triples: column, table, what becomes of this when that goes."""
        keys = [("owner_id", "users", "CASCADE")] if self.owned else []
        if self.parent:
            keys.append((self.above, self.parent.__tablename__, "CASCADE"))
        for field in self.fields:
            if field.other:
                ondelete = "SET NULL" if field.optional else "CASCADE"
                keys.append((field.name, field.other.__tablename__, ondelete))
        return keys

    @property
    def uniques(self):
        return [[*self.scoped_by, name] for name in self.unique]

    @property
    def indexes(self):
        if self.redis:
            return []
        fields = [f.name for f in self.fields if f.indexable]
        names = (
            [*fields, "created_at", "updated_at"] if self.scoped_by else self.sortable
        )
        orders = [["id"], *([name, "id"] for name in names if name != "id")]
        scoped = [[*self.scoped_by, *order] for order in orders]
        named = [[field.name] for field in self.fields if field.other]
        return [order for order in scoped if order != ["id"]] + named

    @property
    def search(self):
        length = sum(f.highest for f in self.fields if f.kind in ("string", "text"))
        length += sum(max(map(len, f.choices)) for f in self.fields if f.kind == "enum")
        if length <= MOST_SEARCHED:
            return "sa.Text()"
        return 'sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")'

    # What its tests ask for, besides. None of the names is there twice, whatever it has.

    @cached_property
    def makers(self):
        """The fixtures that make the things which these need: {model: name}, each after
        those that it needs itself."""
        reserved, made = TESTED | in_conftest().keys(), {}

        def make(model):
            for other in needed_by(model).values():
                make(other)
            if model not in made:
                name = in_code(model)
                if not is_made_in_conftest(model):
                    name = free(name, reserved.union(made.values()), "one_")
                made[model] = name

        for field in self.needed:
            make(field.other)
        if self.parent:
            make(self.parent)
        return made

    @property
    def taken(self):
        return TESTED | in_conftest().keys() | set(self.makers.values())

    above_it = property(lambda self: self.makers.get(self.parent))
    thing = property(lambda self: free(self.singular, self.taken, "one_"))
    URL = property(lambda self: free(self.name.upper(), TESTED, "ALL_"))

    @property
    def BODY(self):
        return free(self.singular.upper(), TESTED | {self.URL}, "ONE_")

    @property
    def url(self):
        taken = self.taken | {self.thing}
        return free(self.name, taken, "all_") if self.parent else self.URL

    named = property(lambda self: self.one.replace(" ", "_").lower())
    body = property(lambda self: "body" if self.needed else self.BODY)
    other = property(lambda self: "other" if self.needed else "OTHER")

    @property
    def own(self):
        """The properties that name no other things."""
        return [field for field in self.fields if not field.other]

    @property
    def needed(self):
        """The properties that name what must be there before one of these can be."""
        named = [field for field in self.fields if field.other]
        required = [field for field in named if not field.optional]
        # Where these have nothing else, a test needs one to change.
        return required or ([] if self.own else named[:1])

    @property
    def wanted(self):
        return list(dict.fromkeys(self.makers[field.other] for field in self.needed))

    @property
    def fixtures(self):
        """What makes such things and is to be written: (name, what it makes, the fixtures
        that it needs, where, its body)."""
        return [
            (name, one(in_words(in_code(model))), *self._making(model))
            for model, name in self.makers.items()
            if not is_made_in_conftest(model)
        ]

    def _making(self, model, another=False):
        """The fixtures that a thing of another slice needs, where it is made, its body;
        `another`: with nothing in it that is unique and the first one has."""
        needs = {name: self.makers[m] for name, m in needed_by(model).items()}
        written = [
            (
                f"{name!r}: {needs[name]}['id']"
                if name in needs
                else f"{name!r}: {code_for(schema, another and name in model.unique)}"
            )
            for name, schema in model.write_schema["properties"].items()
            if name in model.write_schema["required"]
        ]
        given = "".join(f", {name}" for name in dict.fromkeys(needs.values()))
        return given, f"/api/v1/{model.collection}/", f"{{{', '.join(written)}}}"

    @property
    def second(self):
        """What these can name instead, as in `fixtures`, where they have nothing else to
        change; in a list, which may be empty."""
        if self.own or self.needed[0].optional:
            return []
        return [self._making(self.needed[0].other, another=True)]

    @property
    def times(self):
        """What every change changes."""
        return ["updated_at", *(["expires_at"] if self.redis else [])]

    @property
    def bodies(self):
        """Two of them, in code, but for what names other things."""
        values = {field.name: field.examples(2) for field in self.own}
        parts = [
            [f'"{name}": {both[n]}' for name, both in values.items()] for n in (0, 1)
        ]
        return [f"{{{', '.join(body)}}}" for body in parts]

    @property
    def change(self):
        """What differs between the two, in code: a name and a value."""
        if self.own:
            return self.own[0].name, self.own[0].examples(2)[1]
        name = self.needed[0].name
        return name, f'other["{name}"]' if self.second else "None"

    @property
    def faults(self):
        found = [(f.name, f.beyond) for f in self.fields if f.beyond]
        return ", ".join(f'{{"{name}": {beyond}}}' for name, beyond in found)

    @property
    def nowhere(self):
        return [(f.name, spoken(f.other)) for f in self.fields if f.other]

    def given(self, *names):
        """The parameters of a test, without what is a constant here."""
        kept = {"url": self.parent, "body": self.needed, "other": self.needed}
        written = {"url": self.url, "thing": self.thing}
        return ", ".join(written.get(n, n) for n in names if kept.get(n, True))


def in_conftest():
    """The functions that every test finds there: {name: code}."""
    return functions_in((PROJECT / "conftest.py").read_text(encoding="utf-8"))


@cache
def functions_in(text):
    functions = [n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)]
    return {each.name: ast.unparse(each) for each in functions}


def is_made_in_conftest(model):
    """Whether every test finds a fixture that makes a thing of this model."""
    made = rf"def \w+\(client\):.*return client\.post\('/api/v1/{model.collection}/'"
    return bool(re.search(made, in_conftest().get(in_code(model), ""), re.DOTALL))


def needed_by(model):
    """The models of what a thing must name: {property: model}."""
    required = model.write_schema["required"]
    return {name: m for name, m in model.references.items() if name in required}


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


# Writing it


def written(slice, head):
    """The files of a slice, {path in the project: text}. `head`: the last migration."""
    context = {name: getattr(slice, name) for name in dir(slice) if name[0] != "_"}
    context |= {"revision": secrets.token_hex(6), "former": repr(head)}
    context |= {"sentence": sentence, "in_words": in_words}
    folder = f"{PACKAGE.name}/{slice.name}"
    files = {
        f"{folder}/__init__.py": "__init__.py",
        f"{folder}/endpoints.py": "endpoints.py",
        f"{folder}/models.py": "models.py",
        f"{folder}/test_{slice.name}.py": "test.py",
    }
    if not slice.redis:
        today = f"{date.today():%Y%m%d}"
        files[f"migrations/versions/{today}_{slice.name}.py"] = "migration.py"
    return {
        path: TEMPLATES.get_template(f"{template}.jinja").render(context)
        for path, template in files.items()
    }


def edited(slice):
    """The files that name the slices, with this one in them, as `written` has them."""
    return {
        f"{PACKAGE.name}/__init__.py": (imported, slice.name),
        f"{PACKAGE.name}/guard.py": (permitted, slice.name if slice.owned else None),
        ".importlinter": (declared, slice),
        "README.md": (mapped, slice),
    }


def imported(text, name):
    """`create_app`'s module with an import more, in order, and a feature more."""
    folders = {path.parent.name for path in PACKAGE.glob("*/endpoints.py")}
    lines = text.splitlines(keepends=True)
    slices = [
        (found[1], number)
        for number, line in enumerate(lines)
        if (found := re.match(r"from \.(\w+)", line)) and found[1] in folders
    ]
    before = [number for known, number in slices if known < name]
    lines.insert(
        before[-1] + 1 if before else slices[0][1], f"from .{name} import {name}\n"
    )
    text = "".join(lines)
    features = tuple_called("FEATURES", text)
    last = features.elts[-1]
    return in_tuple(
        last.value if isinstance(last, ast.Starred) else features, name, text
    )


def permitted(text, name):
    """The guard with the name of a slice more whose things have owners."""
    return in_tuple(tuple_called("OWNED", text), repr(name), text)


def tuple_called(name, text):
    """The tuple that is assigned to this name, as the parser has it."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return node.value
    raise click.ClickException(f"{name} is not there any more.")


def in_tuple(node, word, text):
    """The text with a word more at the end of a tuple."""
    lines = text.splitlines(keepends=True)[: node.end_lineno]
    end = len("".join(lines)) - len(lines[-1]) + node.end_col_offset - 1
    before = text[:end].rstrip()
    comma = "" if before.endswith(("(", ",")) else ","
    alone = "" if node.elts else ","  # without it, brackets make no tuple
    return f"{before}{comma} {word}{alone}{text[end:]}"


def is_ignored(name):
    """Whether git would not see a folder of that name, wherever it is."""
    path = PROJECT / ".gitignore"
    lines = path.read_text(encoding="utf-8").split() if path.exists() else []
    return any(fnmatch(name, line.rstrip("/")) for line in lines)


def declared(text, slice):
    """import-linter's settings with the edges to other slices, in order."""
    edge = re.compile(rf"^    {PACKAGE.name}\.\w+\.\* -> .*\n", re.M)
    known = edge.findall(text)
    new = [
        f"    {PACKAGE.name}.{slice.name}.* -> {PACKAGE.name}.{other}.models\n"
        for other in slice.others
    ]
    if not new:
        return text
    return text.replace("".join(known), "".join(sorted(known + new)))


def mapped(text, slice):
    """The README with a row more in its map, behind the last slice's."""
    rows = list(re.finditer(rf"^\| `{PACKAGE.name}/\w+/`.*\n", text, re.M))
    if not rows:
        return text
    row = f"| `{PACKAGE.name}/{slice.name}/` | {slice.telling} |\n"
    return text[: rows[-1].end()] + row + text[rows[-1].end() :]


@contextmanager
def all_or_nothing(paths):
    """What is done to these paths happens as a whole: if it fails, each is as it was."""
    before = {path: path.read_bytes() if path.is_file() else None for path in paths}
    try:
        yield
    except BaseException:
        for path, content in before.items():
            if content is not None:
                if path.read_bytes() != content:
                    path.write_bytes(content)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        raise


@contextmanager
def told_in_a_sentence():
    """What the disk does not let us do ends in a sentence, and SIGTERM like any other end:
    whoever has begun something takes it back."""

    def end(_signal, _frame):
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except OSError as error:
        why = error.strerror or "a file cannot be copied"  # a list, of temporary names
        raise click.ClickException(f"Nothing was written: {why}.") from None
    finally:
        signal.signal(signal.SIGTERM, before)


def last_migration():
    """Raises ClickException where they make no line that can be gone on with."""
    scripts = ScriptDirectory(MIGRATIONS)
    try:
        with warnings.catch_warnings(action="error"):
            heads = scripts.get_heads()
    except Exception as error:  # whatever is written there is run
        raise click.ClickException(f"A migration is wrong: {error}") from None
    if len(heads) != 1:
        raise click.ClickException("The migrations have several heads: flask db merge")
    return heads[0]


def run(folder, *words):
    """What a Python module prints in a folder. Raises ClickException."""
    own = f"{PACKAGE.name.upper()}_"
    kept = {name: value for name, value in os.environ.items() if own not in name}
    environment = {**kept, "INSTANCE_PATH": f"{folder}/instance", "PYTHONPATH": ""}
    for name in ("DATABASE_URL", "REDIS_URL", "FLASK_CONFIG"):
        environment.pop(name, None)
    words = [sys.executable, "-m", *words]
    done = subprocess.run(words, cwd=folder, capture_output=True, env=environment)
    if done.returncode:
        told = done.stderr.decode().strip().splitlines() or [""]
        raise click.ClickException(
            f"It does not work, so nothing was written: {told[-1]}"
        )
    return done.stdout


def write(slice):
    """Bring a slice into the project, or raise ClickException and leave it as it was."""
    files = written(slice, last_migration())
    for path, (edit, value) in edited(slice).items():
        if value is not None and (PROJECT / path).exists():
            files[path] = edit((PROJECT / path).read_text(encoding="utf-8"), value)
    new = PACKAGE / slice.name
    paths = [PROJECT / path for path in (*files, "openapi.json")]
    for path in paths:
        place = path if path.exists() else path.parent
        place = PACKAGE if place == new and not new.exists() else place
        if not os.access(place, os.W_OK):
            place = place.relative_to(PROJECT)
            raise click.ClickException(f"Nothing was written: {place} is read-only.")
    with tempfile.TemporaryDirectory(prefix="feature-") as folder:
        copy = Path(folder)
        unlike = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PACKAGE, copy / PACKAGE.name, ignore=unlike)
        for name in TRIED:
            source = PROJECT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=unlike)
            else:
                shutil.copy(source, copy / name)
        for path, text in files.items():
            (copy / path).parent.mkdir(exist_ok=True)
            (copy / path).write_text(text, encoding="utf-8")
        tidy(copy, *(path for path in files if path.endswith(".py")))
        told = run(copy, "flask", "--app", PACKAGE.name, "openapi")
        (copy / "openapi.json").write_bytes(told)
        # Features come last, so that a service that runs finds all that they name.
        paths.sort(key=lambda path: path == PACKAGE / "__init__.py")
        with all_or_nothing(
            [new, *(path for path in paths if new not in path.parents)]
        ):
            new.mkdir(exist_ok=True)
            for path in paths:
                shutil.copyfile(copy / path.relative_to(PROJECT), path)


@click.command("new-feature")
@click.argument("name")
@click.argument("fields", nargs=-1, metavar="PROPERTY:TYPE...")
@click.option("--store", type=click.Choice(["sql", "redis"]), default="sql")
@click.option("--open", "shared", is_flag=True, help="Without owners: for everybody.")
@click.option("--parent", metavar="FEATURE", help="Below whose things these are.")
@click.option("--singular", metavar="WORD", help="What one of them is called.")
@with_appcontext
def new_feature(name, fields, store, shared, parent, singular):
    """Write a feature: endpoints, models, tests, a migration, its line in FEATURES.

    NAME is a plural, as `books`; then its properties, as title:string:120
    pages:integer:1..5000 isbn:string? published:date. Types: string, text, integer,
    number, boolean, date, datetime, enum (state:enum:new,used), reference
    (author:reference:authors). A `?` makes one optional, `:unique` lets nobody have the
    same one twice.

    What is in Redis is gone a day after it last changed. What hangs below a thing, or must
    name one, goes with it.
    """
    features = {feature.name for feature in current_app.extensions["features"]}
    slice = Slice(name, fields, store, shared, parent, singular, features)
    with told_in_a_sentence():
        write(slice)
    said = "" if singular else f" One of them is {slice.one}; say --singular if not."
    click.echo(f"{PACKAGE.name}/{name}/ is there.{said} Next:")
    if slice.owned or not slice.redis:
        click.echo("  flask deploy     # its table, its permissions")
    click.echo(f'  make test ARGS="-k {name}"')
    click.echo("  git add --all; make lint")
    click.echo(f"Its page is {current_app.config['API_PREFIX']}/{name}/docs")
