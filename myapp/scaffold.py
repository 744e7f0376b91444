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
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from datetime import date
from pathlib import Path
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
from .openapi import example_of
from .paging import OWN
from .schema import BIGGEST
from .yours import tidy

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
USUAL = {  # lowest and highest, where nothing is said
    "string": (1, LONGEST_INDEXED),
    "text": (1, 2000),
    "integer": (-(2**31), 2**31 - 1),
    "number": (-(10**15), 10**15),
}
KINDS = (*USUAL, "boolean", "date", "datetime", "enum", "reference")
# What the templates import: a slice of that name would hide it.
WORDS = {
    *("accepts", "accepts_patch", "answers", "answers_nothing", "g", "idempotent"),
    *("merged", "must_match", "paged", "requires", "endpoints", "models", "tasks"),
    *("Resource", "FeatureApi", "Below", "Governed", "Owned", "RedisModel", "SqlModel"),
}


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
        return self.name.replace("_", " ")

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
        told = f"{self.words.capitalize()}."
        limits = f"{self.lowest}, {self.highest}"
        (example,) = self.examples(1)
        if self.kind == "boolean":
            default = ", default=False" if self.optional else ""
            return f'flag("Whether it is {self.words}."{default})'
        made = {
            "string": lambda: f'text({limits}, "{told}", "{example}")',
            "text": lambda: f'text({limits}, "{told}", "{example}")',
            "integer": lambda: f'integer({limits}, "{told}", {example})',
            "number": lambda: f'number({limits}, "{told}", {example})',
            "date": lambda: f'day("{told}")',
            "datetime": lambda: f'moment("{told}")',
            "enum": lambda: f'choice("{told}", {quoted(self.choices)})',
            "reference": lambda: f'reference("The {spoken(self.other)}.")',
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
        """So many values of it, unlike each other where there are as many."""
        if self.kind in ("string", "text"):
            texts = (f"{what} {self.words}" for what in ("Some", "Another"))
            return [self.fitted(text) for text in texts][:count]
        if self.kind in ("integer", "number"):
            usual = 7 if self.lowest <= 7 < self.highest else self.lowest
            step = 1 if self.kind == "integer" else min(0.5, self.highest - usual)
            return [usual, usual + step][:count]
        if self.kind == "enum":
            return list(self.choices[:count])
        return {
            "boolean": [True, False],
            "date": ["2026-11-21", "2027-02-28"],
            "datetime": ["2026-11-21T07:40:00Z", "2027-02-28T12:00:00Z"],
        }.get(self.kind, [7, 8])[:count]

    def fitted(self, text):
        """The text, repeated until it is long enough, and no longer than it may be."""
        while len(text) < self.lowest:
            text = f"{text} {text}"
        return text[: self.highest].strip().ljust(self.lowest, "x")

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
    name, _, rest = text.partition(":")
    kind, *details = rest.split(":") if rest else ["string"]
    optional = text.endswith("?") or kind.endswith("?")
    kind = kind.removesuffix("?")
    if details:
        details[-1] = details[-1].removesuffix("?")
    name = name.removesuffix("?")
    check_word(name, f"A property cannot be called {name!r}")
    if len(name) > 24:
        raise wrong(f"{name} is too long: a property has at most 24 letters.")
    if kind not in KINDS:
        raise wrong(f"{text}: there is no type {kind!r}; there are {', '.join(KINDS)}.")
    unique = "unique" in details
    details = [detail for detail in details if detail != "unique"]
    never = kind in ("text", "boolean", "reference")
    if unique and (never or optional and kind == "datetime"):
        raise wrong(f"{text}: a {kind} like that cannot be unique.")
    if len(details) > (kind not in ("boolean", "date", "datetime")):
        raise wrong(f"{text}: what is {details[-1]!r}?")
    field = Field(name, kind, optional, unique)
    (detail,) = details or [None]
    if kind == "enum":
        choices = tuple(dict.fromkeys((detail or "").split(",")))
        if len(choices) < 2 or not all(
            re.fullmatch(r"[\w .-]{1,64}", c) for c in choices
        ):
            raise wrong(f"{text}: name what it can be, as {name}:enum:new,used.")
        return field._replace(choices=choices)
    if kind == "reference":
        return field._replace(other=found(detail or f"{name}s", text, features))
    if kind in USUAL:
        lowest, highest = limits(text, kind, detail)
        return field._replace(lowest=lowest, highest=highest)
    return field


def limits(text, kind, detail):
    """The lowest and the highest that `120` or `2..120` ask for. Raises UsageError."""
    lowest, highest = USUAL[kind]
    if detail is None:
        return lowest, highest
    number = float if kind == "number" else int
    try:
        first, dots, last = detail.partition("..")
        ends = [number(end) for end in ((first, last) if dots else (lowest, first))]
        lowest, highest = (int(end) if end == int(end) else end for end in ends)
    except (ValueError, OverflowError):
        raise wrong(f"{text}: write limits as {name_of(text)}:{kind}:1..50.") from None
    texts = kind in ("string", "text")
    if lowest > highest or not texts and lowest == highest:
        raise wrong(f"{text}: nothing lies between {lowest} and {highest}.")
    most = {"string": LONGEST_INDEXED, "text": LONGEST_TEXT, "integer": BIGGEST}
    most = most.get(kind, USUAL["number"][1])
    if highest > most or lowest < (0 if texts else -most):
        hint = " Longer ones are of the type text." if kind == "string" else ""
        raise wrong(f"{text}: that is beyond what a {kind} can be.{hint}")
    return lowest, highest


def name_of(text):
    return text.partition(":")[0]


def check_word(word, told):
    """Raises UsageError where no property and no slice can be called that."""
    if not re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", word):
        raise wrong(f"{told}: use small letters, digits and single underscores.")
    if keyword.iskeyword(word):
        raise wrong(f"{told}: that is a word of Python.")


def found(name, text, features):
    """The model of the slice that a word of the command line names. Raises UsageError."""
    models = [
        m for m in all_models() if m.collection == name and issubclass(m, SqlModel)
    ]
    if name not in features or not models or issubclass(models[0], Below):
        raise wrong(f"{text}: there is no feature {name!r} in SQL to name things of.")
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


def singular_of(name):
    """One of what an English plural names, mostly."""
    for ending, one in (("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh")):
        if name.endswith(ending) and len(name) > len(ending) + 1:
            return name.removesuffix(ending) + one
    for ending, one in (("xes", "x"), ("ss", "ss"), ("us", "us"), ("s", "")):
        if name.endswith(ending) and len(name) > len(ending):
            return name.removesuffix(ending) + one
    return name


def camel(name):
    return "".join(part.capitalize() for part in name.split("_"))


def one(words):
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


class Slice:
    """A slice to be written. Raises UsageError where it cannot be.

    `features`: the names of those that there are. Its properties are what the templates
    ask for.
    """

    def __init__(self, name, fields, store, shared, parent, singular, features):
        self.name, self.redis = name, store == "redis"
        self.fields = [parse(text, features) for text in fields]
        self.singular = singular or singular_of(name)
        self.model = camel(self.singular)
        self._check_name(features)
        self.parent = found(parent, f"--parent {parent}", features) if parent else None
        if self.parent and (shared or self.redis):
            with_ = "--open" if shared else "--store redis"
            raise wrong(f"--parent does not go with {with_}.")
        self.owned = not shared and not self.parent
        self.private = self.owned or (self.parent and issubclass(self.parent, Owned))
        self._check_fields()

    def _check_name(self, features):
        name = self.name
        told = f"A feature cannot be called {name!r}"
        check_word(name, told)
        check_word(self.singular, f"One of them cannot be called {self.singular!r}")
        if len(name) > 24 or len(self.singular) > 24:
            raise wrong(f"{told}: it has at most 24 letters.")
        if name in features:
            raise wrong(f"{told}: there is one of that name.")
        package = sys.modules[__package__]
        tests = [*PROJECT.glob(f"tests/**/test_{name}.py"), PACKAGE / f"{name}.py"]
        taken = (PACKAGE / name, *tests)
        if any(path.exists() for path in taken) or hasattr(package, name):
            raise wrong(f"{told}: the project has something of that name.")
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

    def _check_fields(self):
        names = [field.name for field in self.fields]
        base = RedisModel if self.redis else Below if self.parent else SqlModel
        known = {*dir(base), *dir(Governed), *dir(Owned), *dir(SqlModel), *OWN}
        known |= {"self", "cls", "format", "owner_id", "expires_at", "url", self.above}
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

    words = property(lambda self: self.name.replace("_", " "))
    words_of_one = property(lambda self: self.singular.replace("_", " "))
    one = property(lambda self: one(self.words_of_one))
    title = property(lambda self: self.one.capitalize())
    collection = property(lambda self: other_than(camel(self.name), self.model))
    item = property(lambda self: f"One{self.model}")

    @property
    def above(self):
        return spoken(self.parent).replace(" ", "_") if self.parent else ""

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
            return f"The {self.words} of {one(spoken(self.parent))}."
        return f"{self.words.capitalize()}{', each of an account' * self.owned}."

    @property
    def telling(self):
        if self.parent:
            return f"the {self.words} of {one(spoken(self.parent))}"
        return f"{self.words}{' that I own' * self.owned}"

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

    # What its tests ask for, besides

    URL = property(lambda self: self.name.upper())
    BODY = property(lambda self: other_than(self.singular.upper(), self.URL, "ONE_"))
    thing = property(lambda self: fixture_of(self.singular))
    url = property(lambda self: self.name if self.parent else self.URL)
    body = property(lambda self: "body" if self.needed else self.BODY)
    other = property(lambda self: "other" if self.needed else "OTHER")

    @property
    def needed(self):
        """Pairs: a property that names another thing, and the fixture that makes that."""
        needed = [field for field in self.fields if field.other and not field.optional]
        return [(field.name, fixture_of(spoken(field.other))) for field in needed]

    @property
    def fixtures(self):
        """What makes the things of other slices that these need: (name, what it makes, the
        fixtures that it needs, where, its body)."""
        made = {}

        def make(model):
            needs = {
                name: other
                for name, other in model.references.items()
                if name in model.write_schema["required"]
            }
            for other in needs.values():
                make(other)
            body = {**example_of(model.write_schema), **dict.fromkeys(needs)}
            written = ", ".join(
                (
                    f"{name!r}: {fixture_of(spoken(needs[name]))}['id']"
                    if name in needs
                    else f"{name!r}: {value!r}"
                )
                for name, value in body.items()
            )
            given = "".join(
                f", {fixture_of(spoken(other))}" for other in needs.values()
            )
            url = f"/api/v1/{model.collection}/"
            name = fixture_of(spoken(model))
            made[name] = (name, one(spoken(model)), given, url, f"{{{written}}}")

        for field in self.fields:
            if field.other and not field.optional:
                make(field.other)
        if self.parent:
            make(self.parent)
        return list(made.values())

    @property
    def times(self):
        """What every change changes."""
        return ["updated_at", *(["expires_at"] if self.redis else [])]

    @property
    def bodies(self):
        """Two of them, but for what names other things."""
        own = [field for field in self.fields if not field.other]
        return [{f.name: f.examples(2)[n] for f in own} for n in range(2)]

    @property
    def change(self):
        """Of the second of these, the first that differs."""
        first, second = self.bodies
        unlike = [name for name in first if first[name] != second[name]]
        return {name: second[name] for name in unlike[:1]}

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


def other_than(name, taken, prefix="All"):
    """A name beside the one that is `taken`."""
    return f"{prefix}{name}" if name == taken else name


def fixture_of(words):
    """What a fixture is called that makes such a thing."""
    name = words.replace(" ", "_")
    there = re.findall(r"^def (\w+)", (PROJECT / "conftest.py").read_text(), re.M)
    taken = {*there, "body", "other", "request"} - {"device"}
    return f"one_{name}" if name in taken else name


# Writing it


def written(slice, head):
    """The files of a slice, {path in the project: text}. `head`: the last migration."""
    context = {name: getattr(slice, name) for name in dir(slice) if name[0] != "_"}
    context |= {"revision": secrets.token_hex(6), "former": repr(head)}
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
                path.write_bytes(content)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        raise


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
    scripts = ScriptDirectory(MIGRATIONS)
    if len(scripts.get_heads()) != 1:
        raise click.ClickException("The migrations have several heads: flask db merge")
    files = written(slice, scripts.get_current_head())
    for path, (edit, value) in edited(slice).items():
        if value is not None and (PROJECT / path).exists():
            files[path] = edit((PROJECT / path).read_text(encoding="utf-8"), value)
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
        new = PACKAGE / slice.name
        paths = [PROJECT / path for path in (*files, "openapi.json")]
        # Features come last, so that a service that runs finds all that they name.
        paths.sort(key=lambda path: path == PACKAGE / "__init__.py")
        with all_or_nothing(
            [new, *(path for path in paths if new not in path.parents)]
        ):
            new.mkdir()
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
    write(slice)
    click.echo(f"{PACKAGE.name}/{name}/ is there. Next:")
    if slice.owned or not slice.redis:
        click.echo("  flask deploy     # its table, its permissions")
    click.echo(f'  make test ARGS="-k {name}"')
    click.echo(f"Its page is {current_app.config['API_PREFIX']}/{name}/docs")
