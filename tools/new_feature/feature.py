"""A new feature, as the templates need it."""

import builtins
import re

from flask import current_app
from sqlalchemy.dialects.mysql.reserved_words import RESERVED_WORDS_MARIADB
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

import myapp
from myapp.core import ChildOf, Owned, RedisModel, SqlModel, sql
from myapp.core.data.models.schema_model import human_name
from myapp.core.openapi.document import openapi

from ..repository import is_there
from . import project
from .field import parse
from .project import check_word, refuse
from .words import camel, identifier_of, in_words, sentence, singular_of, with_article

MAX_INDEX_NAME_CHARACTERS = 63  # characters of an index's name in PostgreSQL


class Feature:
    """A feature to write. Raises UsageError if it cannot be written.

    `fields`: the arguments for its properties. `is_open`: its records have no owner.
    """

    def __init__(self, name, fields, store, is_open, parent, singular, explicit):
        check_word(name, f"A feature cannot be called {name!r}")
        self.name, self.redis, self.explicit = name, store == "redis", explicit
        self.singular = singular_of(name) if singular is None else singular
        self.model = camel(self.singular)
        self.check_name()
        self.fields = [parse(argument, name) for argument in fields]
        self.parent = None
        if parent is not None:
            self.parent = project.model_of(parent, f"--parent {parent}")
        if self.parent and (is_open or self.redis):
            other = "--open" if is_open else "--store redis"
            refuse(f"--parent and {other} exclude each other.")
        self.owned = not is_open and not self.parent
        self.check_fields()
        self.check_titles()  # the last, because it takes longest

    def check_name(self):
        name, message = self.name, f"A feature cannot be called {self.name!r}"
        check_word(self.singular, f"A record cannot be called {self.singular!r}")
        root, package = project.ROOT, project.ROOT / project.PACKAGE
        features = {each.name for each in current_app.extensions["features"]}
        tables = {*sql.metadata.tables, "alembic_version"}
        in_package = is_there(package / name) or (package / f"{name}.py").exists()
        beside = (root / f"{name}.py").exists() or any((root / name).glob("*.py"))
        for applies, reason in (
            (name in features, "there is one already"),
            (in_package or hasattr(myapp, name), "the package has that name already"),
            (beside, "a module beside the package has that name"),
            (name in tables, "a table has that name"),
            (project.is_ignored(name), ".gitignore excludes that name"),
            (hasattr(builtins, name), "it is a builtin of Python"),
            (name in RESERVED_WORDS | RESERVED_WORDS_MARIADB, "it is reserved in SQL"),
        ):
            if applies:
                refuse(f"{message}: {reason}.")

    def check_titles(self):
        """Raise UsageError if a model or a schema has a title that the feature needs."""
        taken = {model.__name__ for model in project.all_models()}
        taken |= openapi(current_app)["components"]["schemas"].keys()
        for title in (f"{self.model}{end}" for end in ("", "Write", "Patch", "Page")):
            if title in taken:
                refuse(
                    f"A feature cannot be called {self.name!r}: there is a {title} "
                    "already. Use --singular."
                )

    def check_fields(self):
        if not self.fields:
            refuse(f"{self.name} needs properties, as title:string:120.")
        if len(self.fields) > 40:
            refuse("A feature has at most 40 properties.")
        names = [field.name for field in self.fields]
        bases = (RedisModel,) if self.redis else (SqlModel, ChildOf)
        reserved = project.reserved_properties(*bases)
        for field in self.fields:
            if names.count(field.name) > 1:
                refuse(f"There are two properties {field.name}.")
            if field.name in {*reserved, self.parent_field}:
                refuse(f"A property cannot be called {field.name!r}: that is reserved.")
            if self.redis and (field.unique or field.other):
                kind = "unique properties" if field.unique else "references"
                refuse(f"{field.name}: there are no {kind} in Redis.")
            if field.other and issubclass(field.other, Owned) and not self.owned:
                refuse(
                    f"{field.name}: a {human_name(field.other)} has an owner. Records "
                    "without "
                    "an owner can only refer to records without one."
                )
        scope = "_".join(self.scope)
        longest = f"ix_{self.name}_{scope}_{max(names, key=len)}_id"
        if not self.redis and len(longest) > MAX_INDEX_NAME_CHARACTERS:
            refuse(f"The name of the index {longest} would be too long.")

    # For the templates

    words = property(lambda self: in_words(self.name))
    one = property(lambda self: with_article(in_words(self.singular)))
    one_sentence = property(lambda self: f"{sentence(self.one)}.")
    parent_field = property(
        lambda self: identifier_of(self.parent) if self.parent else ""
    )

    @property
    def scope(self):
        """Return the columns that every index begins with."""
        column = "owner_id" if self.owned else self.parent_field
        return [column] if column else []

    @property
    def below(self):
        return f"{self.parent.collection}/<int:{self.parent_field}_id>"

    @property
    def address(self):
        """Return the path of the collection below API_PREFIX, with variables in braces."""
        below = re.sub(r"<int:(\w+)>", r"{\1}/", self.below) if self.parent else ""
        return f"{below}{self.name}/"

    @property
    def summary(self):
        """Return the summary of the feature, as a sentence."""
        if self.parent:
            return f"The {self.words} of {with_article(in_words(self.parent_field))}."
        return f"{sentence(self.words)}{', each of an account' if self.owned else ''}."

    @property
    def many(self):
        """Return the name of its records in documents: "your books"; see CrudResource."""
        records = self.name.replace("_", " ")
        return f"your {records}" if self.owned else f"the {records}"

    @property
    def bases(self):
        if self.redis:
            return ["PermissionScoped", "RedisModel"] if self.owned else ["RedisModel"]
        mixin = "ChildOf" if self.parent else "Owned" if self.owned else None
        return [mixin, "SqlModel"] if mixin else ["SqlModel"]

    @property
    def core_names(self):
        """Return the names that the models import from core."""
        code = " ".join(field.schema for field in self.fields)
        functions = set(re.findall(r"(?<!\w)([a-z_]+)\(", re.sub('"[^"]*"', "", code)))
        more = {"date_time"} if self.redis else set()
        return sorted({*self.bases, *functions, *more, "request_schema"})

    @property
    def others(self):
        """Return the models that this one uses: {feature: model}."""
        models = {self.parent, *(field.other for field in self.fields)} - {None}
        return {m.__module__.split(".")[-2]: m.__name__ for m in models}

    @property
    def sortable(self):
        names = [field.name for field in self.fields if field.sortable]
        return ("id", *names, "created_at", "updated_at")

    @property
    def references(self):
        return [(f.name, f.other.__name__) for f in self.fields if f.other]

    @property
    def unique(self):
        return tuple(field.name for field in self.fields if field.unique)

    # For explicit verbs

    parent_id = property(lambda self: f"{self.parent_field}_id" if self.parent else "")
    readable = property(lambda self: self._scope("readable"))
    writable = property(lambda self: self._scope("writable"))

    def _scope(self, access):
        return f"**{self.model}.{access}({self.parent_id})" if self.scope else ""
