"""The project that a feature is added to: its models, and the names that are taken."""

import keyword
import re
import sys
from fnmatch import fnmatch
from inspect import getsource
from pathlib import Path

import click
from flask import current_app

import myapp
from myapp.core import ChildOf, Owned, PermissionScoped, RedisModel, SqlModel, sql
from myapp.core.data.models.pages import RESERVED_PARAMS

from .words import NAME

ROOT = Path(__file__).parents[2]
PACKAGE = myapp.__name__


def refuse(message):
    """Raise UsageError."""
    raise click.UsageError(message)


def check_word(word, message):
    """Raise UsageError if no feature and no property can have this name."""
    if not NAME.fullmatch(word):
        refuse(f"{message}: use lower-case letters, digits and single underscores.")
    if keyword.iskeyword(word):
        refuse(f"{message}: it is a keyword of Python.")
    if len(word) > 24:
        refuse(f"{message}: it has more than 24 characters.")


def all_models():
    """Return every model of the project."""
    mapped = [mapper.class_ for mapper in sql.Model.registry.mappers]
    in_sql = [model for model in mapped if issubclass(model, SqlModel)]
    return in_sql + RedisModel.__subclasses__()


def model_of(name, argument):
    """Return the model of a feature that a new one can refer to or be below.

    `argument`: the argument that names it, for messages. Raise UsageError.
    """
    models = [
        m for m in all_models() if m.collection == name and issubclass(m, SqlModel)
    ]
    features = {feature.name for feature in current_app.extensions["features"]}
    if name not in features or not models:
        refuse(f"{argument}: there is no feature {name!r} with records in SQL.")
    if issubclass(models[0], ChildOf):
        refuse(
            f"{argument}: {name} has a parent, and cannot be a parent or a reference."
        )
    address = f"{current_app.config['API_PREFIX']}/{name}/"
    get, post = verb_at(f"{address}<int:id>", "get"), verb_at(address, "post")
    content = post.operation["requestBody"]["content"] if post else {}
    if (
        getattr(get, "required_permissions", None) != ()
        or "application/json" not in content
    ):
        refuse(f"{argument}: not every account may create and read {name}.")
    return models[0]


def verb_at(rule, verb):
    """Return the function that serves a verb at an address, or None."""
    for each in current_app.url_map.iter_rules():
        if each.rule == rule and not each.build_only:
            view = current_app.view_functions[each.endpoint]
            return getattr(getattr(view, "view_class", None), verb, None)


def reserved_properties(*bases):
    """Return the names that no property of a model on these bases can have."""
    classes = [cls for base in bases for cls in base.__mro__]
    names = {cls.__module__ for cls in classes if cls.__module__.startswith(PACKAGE)}
    source = "".join(getsource(sys.modules[name]) for name in names)
    assigned = re.findall(r"\b(?:cls|self)\.(\w+) = ", source)
    members = [
        name
        for base in (*bases, PermissionScoped, Owned, SqlModel)
        for name in dir(base)
    ]
    return {*assigned, *members, *RESERVED_PARAMS, "self", "cls", "url"}


def is_ignored(name):
    """Return whether git ignores a folder of that name."""
    path = ROOT / ".gitignore"
    lines = path.read_text(encoding="utf-8").split() if path.exists() else []
    return any(fnmatch(name, line.rstrip("/")) for line in lines)
