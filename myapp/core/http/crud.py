"""CrudResource: the usual verbs, for a feature that needs nothing else.

    books = FeatureApi("books", "Books, each of an account.", owned=True)
    CrudResource.register(books, Book, one="a book")

This mounts `/` and `/<int:id>`, with the same decorators as verbs that are written out. It
is a call, like `register_api` in Flask's documentation of class-based views, because such a
feature defines only its model and the noun for a record. To omit verbs, name the others in
`only`. To change a verb, override its method; its decorators stay:

    class Books(CrudResource):
        def create(self, body):
            '''Donate a book.'''
            return super().create({**body, "shelf": "new"})

    Books.register(books, Book, one="a book")

A method with `action` is a POST below the record, as `/<int:id>/lend`:

    class Books(CrudResource):
        @action(request_schema("Loan", until=date("The last day.")))
        def lend(self, book, body):
            '''Lend a book.'''
            if book.lent_until:
                raise Lent
            return book.update(lent_until=body["until"])

Write all verbs out as soon as one of them needs other decorators.
"""

import sys
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple, ParamSpec, TypeVar

from flask import Response, g, request

from ..data.models.child import ChildOf
from ..data.models.owned import PermissionScoped
from ..data.models.pages import Page, PageResult
from ..data.models.redis_model import RedisModel
from ..data.models.sql_model import SqlModel
from ..schema.operation import document_operation
from ..security.permissions import requires
from .feature_api import FeatureApi
from .idempotency import idempotent
from .pagination import paginated
from .preconditions import check_preconditions
from .requests import accepts, accepts_patch, apply_merge_patch
from .resource import Resource
from .responses import responds_no_content, responds_with

P = ParamSpec("P")
R = TypeVar("R")
Model = type[SqlModel] | type[RedisModel]
# Models whose records belong to an account or to a parent record.
SCOPED_MIXINS = (PermissionScoped, ChildOf)
ITEM_PATH, COLLECTION_PATH = "/<int:id>", "/"
CRUD_METHODS = ("list", "create", "read", "replace", "change", "remove")


class Action(NamedTuple):
    """The options of an action; see `action`."""

    schema: dict[str, Any] | None
    permissions: tuple[str, ...]
    readers: bool


def action(
    schema: dict[str, Any] | None = None, *permissions: str, readers: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a method of a CrudResource an action: POST `/<int:id>/<name of the method>`.

    The method gets the record, locked for a change, and returns it; it raises a Conflict if
    the state of the record forbids the action. With a `schema`, it gets the request body as
    `body`. The response is the record. An Idempotency-Key and an If-Match are respected.

    `permissions`: those that the action requires. `readers`: whether the accounts that may
    read the record may act on it; else only those that may change it.
    """

    def decorate(method: Callable[P, R]) -> Callable[P, R]:
        setattr(method, "action", Action(schema, permissions, readers))
        return method

    return decorate


class CrudResource(Resource):
    """The verbs of `model`. `parent`: the id of the parent record, if there is one.

    The docstrings of the methods are the summaries in the documents.
    """

    model: Model

    def list(self, page: Page, **parent: int) -> PageResult:
        """List {many}."""
        return self.model.page(page, **self.readable(parent))

    def create(self, body: dict[str, Any], **parent: int) -> Any:
        """Add {one}."""
        if issubclass(self.model, PermissionScoped):
            return self.model.create(owner_id=g.caller.id, **body)
        return self.model.create(**self.writable(parent), **body)

    def read(self, id: int, **parent: int) -> Any:
        """Read {one}."""
        return self.model.get_or_404(id, **self.readable(parent))

    def replace(self, id: int, body: dict[str, Any], **parent: int) -> Any:
        """Replace {one}."""
        return self.lock(id, **parent).update(**body)

    def change(self, id: int, patch: Any, **parent: int) -> Any:
        """Change some properties of {one}."""
        record = self.lock(id, **parent)
        return record.update(**apply_merge_patch(record, patch))

    def remove(self, id: int, **parent: int) -> None:
        """Delete {one}."""
        self.lock(id, **parent).delete()

    def lock(self, id: int, **parent: int) -> Any:
        """Return the record, locked for a change.

        Raises 404, and 412 or 428 if the request's preconditions are not met.
        """
        record = self.model.lock_or_404(id, **self.writable(parent))
        check_preconditions(record)
        return record

    def act(self, name: str, id: int, body: dict[str, Any], **parent: int) -> Any:
        """Return the record after the action of that name. Raises 404 and 412."""
        method = getattr(self, name)
        scope = self.readable if method.action.readers else self.writable
        record = self.model.lock_or_404(id, **scope(parent))
        if "If-Match" in request.headers:
            check_preconditions(record)
        return method(record, **body)

    def readable(self, parent: dict[str, int]) -> dict[str, Any]:
        """Return the scope that the caller may read; empty for a model without scopes."""
        if not issubclass(self.model, SCOPED_MIXINS):
            return {}
        return self.model.readable(*parent.values())

    def writable(self, parent: dict[str, int]) -> dict[str, Any]:
        """Return the scope that the caller may change; empty without scopes."""
        if not issubclass(self.model, SCOPED_MIXINS):
            return {}
        return self.model.writable(*parent.values())

    @classmethod
    def register(
        cls,
        feature: FeatureApi,
        model: Model,
        one: str,
        only: Collection[str] = CRUD_METHODS,
    ) -> None:
        """Mount the verbs in `only`. Call this in the feature's endpoints.py.

        `one`: a record, as the summaries name it, with its article.
        """
        many = (
            f"{'your' if issubclass(model, PermissionScoped) else 'the'} "
            f"{model.collection}"
        )
        words = {"one": one, "many": many.replace("_", " ")}
        # The caller's module; collections.namedtuple finds it in the same way.
        module = sys._getframe(1).f_globals["__name__"]
        resources: dict[str, dict[str, Any]] = {}
        actions = [name for name in dir(cls) if hasattr(getattr(cls, name), "action")]
        for name in actions:
            verb = build_action(model, name, getattr(cls, name))
            path = f"{ITEM_PATH}/{name.replace('_', '-')}"
            attributes = {"post": verb, "model": model, "__module__": module}
            class_name = model.__name__ + name.title().replace("_", "")
            feature.route(path)(type(class_name, (cls,), attributes))
        for name, address, verb in build_verbs(model):
            if name in only:
                text = getattr(cls, name).__doc__ or getattr(CrudResource, name).__doc__
                verb.__doc__ = text.format(**words)
                resources.setdefault(address, {})[verb.__name__] = verb
        for address, attributes in resources.items():
            attributes |= {"model": model, "__module__": module}
            if address == ITEM_PATH and issubclass(model, RedisModel):
                attributes["writes"] = False  # not to the SQL database
            name = model.__name__ + ("Item" if address == ITEM_PATH else "Collection")
            feature.route(address)(type(name, (cls,), attributes))


def build_action(
    model: Model, name: str, method: Callable[..., Any]
) -> Callable[..., Response]:
    """Return the function of the verb that calls an action."""
    options: Action = getattr(method, "action")
    accept: Any = accepts(options.schema) if options.schema else lambda verb: verb

    @requires(*options.permissions)
    @idempotent
    @accept
    @responds_with(model)
    def action(
        self: CrudResource, id: int, body: dict[str, Any] | None = None, **parent: int
    ) -> Any:
        return self.act(name, id, {} if body is None else {"body": body}, **parent)

    action.__doc__ = method.__doc__
    # What `error_responses` has documented at the method.
    return document_operation(action, **getattr(method, "operation", {}))


def build_verbs(model: Model) -> Iterator[tuple[str, str, Callable[..., Response]]]:
    """Yield the name, the path and the function of each verb."""
    for name, function in _collection_verbs(model):
        yield name, COLLECTION_PATH, function
    for name, function in _item_verbs(model):
        yield name, ITEM_PATH, function


def _collection_verbs(model: Model) -> Iterator[tuple[str, Callable[..., Response]]]:
    @requires()
    @paginated(model)
    def get(self: CrudResource, page: Page, **parent: int) -> PageResult:
        return self.list(page, **parent)

    yield "list", get

    @requires()
    @idempotent
    @accepts(model)
    @responds_with(model, 201)
    def post(self: CrudResource, body: dict[str, Any], **parent: int) -> Any:
        return self.create(body, **parent)

    yield "create", post


def _item_verbs(model: Model) -> Iterator[tuple[str, Callable[..., Response]]]:
    @requires()
    @responds_with(model)
    def get(self: CrudResource, id: int, **parent: int) -> Any:
        return self.read(id, **parent)

    yield "read", get

    @requires()
    @accepts(model)
    @responds_with(model)
    def put(self: CrudResource, id: int, body: dict[str, Any], **parent: int) -> Any:
        return self.replace(id, body, **parent)

    yield "replace", put

    @requires()
    @accepts_patch(model)
    @responds_with(model)
    def patch(self: CrudResource, id: int, patch: Any, **parent: int) -> Any:
        return self.change(id, patch, **parent)

    yield "change", patch

    @requires()
    @responds_no_content
    def delete(self: CrudResource, id: int, **parent: int) -> None:
        self.remove(id, **parent)

    yield "remove", delete
