"""What the project has already: models, names, fixtures."""

import ast
import keyword
import re
import sys
from fnmatch import fnmatch
from functools import cache
from inspect import getsource
from pathlib import Path

import click
from flask import current_app

import myapp
from myapp.core.data.models.child import Below
from myapp.core.data.models.redis_model import RedisModel
from myapp.core.data.models.sql_model import SqlModel
from myapp.core.data.session import sql

from .words import NAME, in_code

PROJECT = Path(__file__).parents[2]
PACKAGE = Path(myapp.__file__).parent
# What a model sets on itself, which no property can be called.
SET = set(
    re.findall(r"\b(?:cls|self)\.(\w+) = ", getsource(sys.modules[SqlModel.__module__]))
)


def words_of(template):
    """The words of the code in a template: without its strings and what is filled in."""
    code = (Path(__file__).parent / "templates" / template).read_text(encoding="utf-8")
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


# What was asked for
def wrong(told):
    return click.UsageError(told)


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


def is_ignored(name):
    """Whether git would not see a folder of that name, wherever it is."""
    path = PROJECT / ".gitignore"
    lines = path.read_text(encoding="utf-8").split() if path.exists() else []
    return any(fnmatch(name, line.rstrip("/")) for line in lines)
