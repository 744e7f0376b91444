"""A feature to be written."""

import builtins
from functools import cached_property

from flask import current_app
from sqlalchemy.dialects.mysql.reserved_words import RESERVED_WORDS_MARIADB
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

import myapp
from myapp.core.data.models.child import Below
from myapp.core.data.models.columns import MOST_SEARCHED
from myapp.core.data.models.owned import Governed, Owned
from myapp.core.data.models.pages import OWN
from myapp.core.data.models.redis_model import RedisModel
from myapp.core.data.models.schema_model import spoken
from myapp.core.data.models.sql_model import SqlModel
from myapp.core.data.session import sql
from myapp.core.openapi.document import openapi

from ..repository import is_there
from .field import code_for, parse
from .project import (
    PACKAGE,
    PROJECT,
    SET,
    TESTED,
    WORDS,
    all_models,
    check_word,
    found,
    in_conftest,
    is_ignored,
    is_made_in_conftest,
    needed_by,
    wrong,
)
from .words import camel, free, in_code, in_words, one, sentence, singular_of

LONGEST_NAME = 63  # characters of the name of an index, in PostgreSQL


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
        tests = [*PROJECT.glob(f"tests/**/test_{name}.py"), PACKAGE / f"{name}.py"]
        taken = (PACKAGE / name, *tests)
        if any(map(is_there, taken)) or hasattr(myapp, name):
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
