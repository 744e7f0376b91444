"""Discover what every feature serves, and create records of it; no feature is named here.

The addresses come from the application; the model of a collection is the one that its
pages contain. A new feature is found as soon as it is in FEATURES.
"""

import re
from datetime import date, timedelta
from functools import cache
from itertools import count
from typing import Callable, NamedTuple

import pytest
from flask_restx import Resource

from myapp import create_app
from myapp.core.data.models.owned import PermissionScoped
from myapp.core.data.models.redis_model import RedisModel
from myapp.core.data.models.sql_model import SqlModel
from myapp.core.http.uploads import FORM_MEDIA_TYPE
from myapp.core.schema.examples import example_of
from myapp.core.schema.fields import NO_NUL_PATTERN, json_types
from support.features import SERVED

API = "/api/v1"
CHANGING = {"PUT", "PATCH", "DELETE"}
KNOWN_VERBS = {"GET", "POST", *CHANGING}
VARIABLE = re.compile(r"{(\w+)}")


def kind_of(schema):
    """Return the JSON type of a property, apart from null."""
    return next(kind for kind in json_types(schema) if kind != "null")


# What is served


class Verb(NamedTuple):
    """A method at an address; `path` holds its variables as {name}."""

    method: str
    path: str
    function: Callable

    def __str__(self):
        return f"{self.method} {self.path}"

    @property
    def operation(self):
        return self.function.operation

    @property
    def collection(self):
        """The path of its collection."""
        return re.sub(r"{\w+}$", "", self.path)

    @property
    def required_permissions(self):
        """The permissions that it requires, as a tuple; None if it is public."""
        return getattr(self.function, "required_permissions", None)

    @property
    def creates(self):
        return bool({"201", "202"} & self.operation["responses"].keys())

    @property
    def content(self):
        """The content of its request body, by media type."""
        return self.operation.get("requestBody", {}).get("content", {})

    @property
    def schema(self):
        """The schema of its JSON body, or None."""
        return self.content.get("application/json", {}).get("schema")


def routes(app):
    """Every address that a client may call, with its verbs and its view."""
    result = {}
    for rule in app.url_map.iter_rules():
        if not rule.build_only:
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
            methods, _ = result.get(path, (set(), None))
            view = app.view_functions[rule.endpoint]
            result[path] = (methods | rule.methods, getattr(view, "view_class", view))
    return result


def verbs(routes):
    """Yield every method of every Resource."""
    for path, (methods, view) in routes.items():
        if isinstance(view, type) and issubclass(view, Resource):
            for method in sorted(methods & KNOWN_VERBS):
                yield Verb(method, path, getattr(view, method.lower()))


def parametrize(name, values):
    def id_of(value):
        return getattr(value, "__name__", str(value))

    return pytest.mark.parametrize(name, values, ids=id_of)


NO_STORES = {"SQLALCHEMY_DATABASE_URI": "sqlite://", "REDIS_URL": "unix:///no"}
ROUTES = routes(create_app("testing", features=SERVED, **NO_STORES))
VERBS = list(verbs(ROUTES))


# What it is about


MODEL_CLASSES = SqlModel, RedisModel


def models():
    """Yield every model of every feature, with its name."""
    for feature in SERVED:
        module = feature.module("models")
        for name, value in vars(module).items():
            if getattr(value, "__module__", "") == module.__name__:
                if isinstance(value, type) and issubclass(value, MODEL_CLASSES):
                    yield name, value


MODELS = dict(models())


def parent_of(model):
    """Return the parent of a model, or None."""
    return getattr(model, "parent", None)


def references_of(model):
    """Return the references of a model: {property: the model of that id}."""
    return getattr(model, "references", {})


def unique_in(model):
    """Return the properties of a model whose values are unique."""
    return getattr(model, "unique", ())


@cache
def hook(model, name):
    """Return what the test module of a model's feature provides under a name, or None.

    A feature that is not plain CRUD tells the contract tests so, in its own test module:
    `fit_body(body, before)` returns a similar body that obeys the rules of the model,
    RULE_DETAILS are the details of its own 422s, and `furnish(client)` returns a new record
    of a collection without a POST.
    """
    for feature in SERVED:
        if f"{feature.package}." in model.__module__:
            return getattr(feature.module(f"test_{feature.name}"), name, None)


def obey_rules(model, body, before=None):
    """Return a similar body that obeys the rules of a model."""
    fit_body = hook(model, "fit_body")
    return fit_body(body, before) if fit_body else body


def is_owned(model):
    """Return True if each record, or its parent, belongs to an account."""
    if parent_of(model):
        return is_owned(parent_of(model))
    return issubclass(model, PermissionScoped) or ("owner_id",) in getattr(
        model, "scopes", ()
    )


class Collection(NamedTuple):
    """The address of a collection and its model. `item`: the address of a record."""

    path: str
    model: type

    def __str__(self):
        return self.path.removeprefix(f"{API}/")

    @property
    def item(self):
        return self.path + "{id}"

    @property
    def parent(self):
        """The collection of its parents, or None."""
        return COLLECTIONS.get(self.path.rpartition("{")[0])


def collections():
    """Each collection that is served in pages."""
    for verb in VERBS:
        page = verb.operation["responses"].get("200", {}).get("content", {})
        title = page.get("application/json", {}).get("schema", {}).get("title", "")
        model = MODELS.get(title.removesuffix("Page"))
        if title.endswith("Page") and model:
            yield Collection(verb.path, model)


def is_crud(collection):
    """Return True if the collection is conventional: all five methods, no permissions.

    Only the owner has access, or, for a model without owners, every account.
    """
    write_schema = collection.model.write_schema
    by_method = {
        verb.method: verb
        for verb in VERBS
        if verb.path == (collection.path if verb.method == "POST" else collection.item)
    }
    return by_method.keys() == KNOWN_VERBS and all(
        verb.required_permissions == ()
        and (method not in ("POST", "PUT") or verb.schema == write_schema)
        for method, verb in by_method.items()
    )


COLLECTIONS = {collection.path: collection for collection in collections()}
CRUD_COLLECTIONS = [
    collection for collection in COLLECTIONS.values() if is_crud(collection)
]
# where things are made
COLLECTION_OF_MODEL = {collection.model: collection for collection in CRUD_COLLECTIONS}
UNOWNED_PATHS = tuple(
    each.path for each in CRUD_COLLECTIONS if not is_owned(each.model)
)
POSTS = {verb.path: verb for verb in VERBS if verb.method == "POST"}
PUTS = {verb.path: verb for verb in VERBS if verb.method == "PUT"}
NUMBERS = count(1000)
SESSIONS = f"{API}/auth/sessions/"


# Things


def distinct_value(schema, number):
    """Return the `number`th value that fits the schema of a property.

    The values differ as long as the schema allows.
    """
    kind = kind_of(schema)
    if "enum" in schema:
        choices = [value for value in schema["enum"] if value is not None]
        return choices[number % len(choices)]
    if kind == "boolean":
        return bool(number % 2)
    if kind in ("integer", "number"):
        first, step = max(schema["minimum"], 0), 1 if kind == "integer" else 0.25
        if first > schema["maximum"]:
            first = schema["minimum"]
        return first + number * step % (schema["maximum"] - first + step)
    if schema.get("format") in ("date", "date-time"):
        day = date(2026, 1, 1) + timedelta(days=number)
        return f"{day}" if schema["format"] == "date" else f"{day}T07:40:00Z"
    if schema.get("pattern") == NO_NUL_PATTERN:
        longest = schema["maxLength"]
        if longest < 4:  # digits give too few values; there are 20,000 of these
            return chr(ord("一") + number % 20_000) * max(schema["minLength"], 1)
        begin = f"{example_of(schema)} "[: max(longest - len(f"{number}"), 0)]
        return f"{begin}{number}"[-longest:]
    return example_of(schema)


class ResourceFactory:
    """The records that a client creates for a test.

    A record is created on demand; its parent and its references are created before it.
    """

    def __init__(self, client):
        self.client = client
        self.ids = {}  # of the record in each collection, by its path
        self.others = {}  # of a second record, if one was requested

    def copy(self):
        """Return a copy with the same records, to which a test may add others."""
        copy = ResourceFactory(self.client)
        copy.ids, copy.others = dict(self.ids), dict(self.others)
        return copy

    def create_all(self):
        """Create a record of each kind."""
        for verb in VERBS:
            self.address(verb.path)
        return self

    def address(self, path, written=str):
        """Return the address of a path; replace each variable by the id of a record.

        `written`: converts an id to text.
        """
        return VARIABLE.sub(
            lambda match: written(self.id_in(path[: match.start()])), path
        )

    def id_in(self, path):
        """Return the id of the record in the collection at this path; it may be created."""
        if path not in self.ids:
            self.ids[path] = self._create(path)
        return self.ids[path]

    def other_id_in(self, path):
        """Return the id of a second record there; create it if needed."""
        if path not in self.others:
            self.others[path] = self._create(path)
        return self.others[path]

    def _create(self, path):
        if path in POSTS:
            response = self.client.post(
                self.address(path), **self.request_arguments(POSTS[path])
            )
            assert response.status_code in (201, 202), response.text
            return response.json["id"]
        for (
            put
        ) in PUTS:  # at the id of a record of another kind, which the variable names
            match = re.fullmatch(rf"{re.escape(path)}{{(\w+)_id}}", put)
            if match:
                id = next(self.id_in(at) for at in POSTS if f"/{match[1]}" in at)
                self.client.put(f"{path}{id}", **self.request_arguments(PUTS[put]))
                return id
        if path == SESSIONS:
            self.client.get(f"{API}/auth/request-token")
        collection = COLLECTIONS.get(path)
        furnish = collection and hook(collection.model, "furnish")
        if furnish:
            return furnish(self.client)["id"]
        items = self.client.get(path.rstrip("/")).json["items"]
        assert items, (
            f"No request creates a record in {path}: let `furnish(client)` in the test "
            "module of the feature create one, and return it."
        )
        return items[0]["id"]

    def request_arguments(self, verb, /, **changes):
        """Return a valid body as arguments of the test client; `changes`: in its body."""
        if FORM_MEDIA_TYPE in verb.content:  # a file
            media, described = next(iter(verb.content.items()))
            return {"data": example_of(described["schema"]), "content_type": media}
        if verb.schema is None:
            return {}
        return {"json": self.fit_body(verb, example_of(verb.schema)) | changes}

    def fit_body(self, verb, body):
        """Return an example of a body in which references and unique values are valid."""
        collection = COLLECTIONS.get(verb.collection)
        if collection is None:
            return body
        for name, other in references_of(collection.model).items():
            if body.get(name) is not None:
                body = body | {name: self.id_in(COLLECTION_OF_MODEL[other].path)}
        for name in unique_in(collection.model):
            if body.get(name) is not None:
                schema = verb.schema["properties"][name]
                body = body | {name: distinct_value(schema, next(NUMBERS))}
        return obey_rules(collection.model, body)

    def body(self, model, number, before=None, /, **changes):
        """Return the `number`th of several bodies for a model, with every property.

        Unique values are new each time; references lead to existing records. `before`: the
        record that the body will change.
        """
        properties = model.write_schema["properties"]
        body = {
            name: distinct_value(schema, number) for name, schema in properties.items()
        }
        references = references_of(model)
        for name, other in references.items():
            path = COLLECTION_OF_MODEL[other].path
            # Two records with nothing but references can differ only by these.
            another = number % 2 and properties.keys() == references.keys()
            body[name] = self.other_id_in(path) if another else self.id_in(path)
        for name in unique_in(model):
            body[name] = distinct_value(properties[name], next(NUMBERS))
        return obey_rules(model, body | changes, before)

    def make(self, collection, number, /, **changes):
        """Create a record of that body and return its representation."""
        body = self.body(collection.model, number, **changes)
        response = self.client.post(self.address(collection.path), json=body)
        assert response.status_code == 201, response.text
        return response.json


# The parameters of the contract tests

OPEN_PATHS = re.compile(
    r"/|/status/.*|/docs.*|/openapi\.json|/metrics"
    rf"|{API}/auth/(register|login)|{API}/[a-z0-9_]+/(docs|swagger\.json)"
)


@cache
def rule_details():
    """Return the details of 422s for values that fit the schema, and violate a rule."""
    known = {
        "There is no role with this title.",
        "This is not the current password.",
    }
    return known.union(*(hook(m, "RULE_DETAILS") or () for m in MODELS.values()))


def fits_schema(response):
    """Return True if the schema accepts the body; a later check may still refuse it."""
    if response.status_code == 422:
        return {fault["detail"] for fault in response.json["errors"]} <= rule_details()
    return response.status_code in (200, 201, 202, 401, 409)


def with_placeholder_ids(path):
    """Return a path in which each variable is 1."""
    return re.sub("{.*?}", "1", path)


PAIRS = [
    (method, path)
    for path, (methods, _view) in ROUTES.items()
    for method in sorted(methods & KNOWN_VERBS)
]
BODIES = [verb for verb in VERBS if verb.schema]
PAGINATED_PATHS = list(COLLECTIONS)
