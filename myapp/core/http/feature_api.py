"""FeatureApi: the Flask-RESTX Api of a feature.

This is the only module that knows the internals of Flask-RESTX;
tests/core/http/test_restx.py tests what it relies on.
"""

from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, TypeVar

import flask_restx
from flask import Blueprint, Flask
from flask.typing import ResponseReturnValue

from ..errors import DefinitionError

OPTIONAL_MODULES = ("commands", "tasks")
Demo = TypeVar("Demo", bound=Callable[[int], Any])


class FeatureApi(flask_restx.Api):
    """The API of one feature, on a blueprint with the feature's name.

    `name`: the name of the feature, and its path below API_PREFIX. `description`: shown in
    the documents. `at_root`: mount it at the root instead. `below`: the path of the parent
    resource, as `books/<int:book_id>`; the documents of the feature stay at its own path.
    `owned`: whether each record belongs to an account; the feature then declares the
    permissions `<name>:read_all` and `<name>:write_all`. `permissions`: other permissions
    that it declares.

    The feature's commands.py may register commands on `cli` (the group of the blueprint)
    and demo data with `demo`.
    """

    def __init__(
        self,
        name: str,
        description: str,
        at_root: bool = False,
        below: str | None = None,
        owned: bool = False,
        permissions: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.at_root = at_root
        self.below = below
        self.owned = owned
        owned_permissions = [f"{name}:read_all", f"{name}:write_all"] if owned else []
        self.permissions = (*owned_permissions, *permissions)
        super().__init__(title=name.capitalize(), description=description)
        # No group: the commands are `flask <command>`.
        blueprint = Blueprint(name, __name__, cli_group=None)
        self.cli = blueprint.cli
        self.demos: dict[type, Callable[[int], Any]] = {}  # by model
        self.init_app(blueprint, add_specs=False)

    @property
    def package(self) -> str:
        """The name of the feature's package; empty if it is not a package."""
        resources = self.default_namespace.resources
        if not resources:
            raise DefinitionError(
                f"The feature {self.name} has no resources: import its endpoints in the "
                "__init__.py of its package."
            )
        module: str = resources[0].resource.__module__
        return module.rpartition(".")[0]

    def module(self, name: str) -> ModuleType | None:
        """Import and return the feature's module of that name; None if it has none."""
        full_name = f"{self.package}.{name}"
        exists = self.package and find_spec(full_name)
        return import_module(full_name) if exists else None

    def mount(self, app: Flask) -> None:
        """Register the feature's endpoints, commands and tasks on `app`."""
        for name in OPTIONAL_MODULES:
            self.module(name)
        path = f"{self.below}/{self.name}" if self.below else self.name
        app.register_blueprint(
            self.blueprint, url_prefix=f"{self.base_path(app)}/{path}"
        )

    def base_path(self, app: Flask) -> str:
        """Return the part of the feature's path that precedes its name."""
        return "" if self.at_root else app.config["API_PREFIX"]

    def demo(self, model: type) -> Callable[[Demo], Demo]:
        """Decorate a function that fills the empty table of `model` for `flask init-db`.

        It takes the id of the account that will own the records.
        """

        def decorate(function: Demo) -> Demo:
            self.demos[model] = function
            return function

        return decorate

    def error_router(
        self,
        original_handler: Callable[[Exception], ResponseReturnValue],
        error: Exception,
    ) -> ResponseReturnValue:
        # Flask-RESTX has three error formats of its own; error_handlers.py has one for all.
        return original_handler(error)

    def _register_apidoc(self, app: Flask) -> None:
        # openapi/ui.py serves a newer Swagger UI than the one that Flask-RESTX bundles.
        pass

    def _register_doc(self, blueprint: Blueprint) -> None:
        # Flask-RESTX would register a 404 at the blueprint's root, the collection's URL.
        blueprint.add_url_rule("/", "root", build_only=True)
