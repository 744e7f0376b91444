"""FeatureApi: one Flask-RESTX Api for each feature, all alike.

This is the only module that knows the internals of Flask-RESTX;
tests/core/http/test_restx.py tests what it relies on.
"""

from importlib import import_module
from importlib.util import find_spec

import flask_restx
from flask import Blueprint

OPTIONAL_MODULES = ("commands", "tasks")


class FeatureApi(flask_restx.Api):
    """The API of one feature, on a blueprint of the feature's name.

    `name`: the feature's, and its address below API_PREFIX. `at_root`: mount it at the root
    instead. `below`: the address of the parent that all of it belongs to, as
    `books/<int:book_id>`; the documents stay at the feature's own address.
    `owned`: whether its records belong to an account each; it then declares the permissions
    `<name>:read_all` and `<name>:write_all`. `permissions`: any others that it declares.

    A feature's commands.py adds to `cli`, Flask's group for a blueprint, its demo data
    with `demo`, and to `statistics` statements that count, by the noun for what they count:
    `flask restore` prints them.
    """

    def __init__(
        self,
        name,
        description,
        at_root=False,
        below=None,
        owned=False,
        permissions=(),
    ):
        self.name = name
        self.at_root = at_root
        self.below = below
        self.owned = owned
        if owned:
            permissions = f"{name}:read_all", f"{name}:write_all", *permissions
        self.permissions = tuple(permissions)
        super().__init__(title=name.capitalize(), description=description)
        blueprint = Blueprint(name, __name__, cli_group=None)  # flask <command>, flat
        self.cli = blueprint.cli
        self.demos = {}  # by model
        self.statistics = {}
        self.init_app(blueprint, add_specs=False)

    @property
    def package(self):
        """The name of the package that the feature is; empty if it is none."""
        return self.default_namespace.resources[0].resource.__module__.rpartition(".")[
            0
        ]

    def module(self, name):
        """The feature's module of that name, imported; None if it has none."""
        full_name = f"{self.package}.{name}"
        there = self.package and find_spec(full_name)
        return import_module(full_name) if there else None

    def mount(self, app):
        """Register the feature's endpoints, commands and tasks on `app`."""
        for name in OPTIONAL_MODULES:
            self.module(name)
        place = f"{self.below}/{self.name}" if self.below else self.name
        app.register_blueprint(
            self.blueprint, url_prefix=f"{self.base_path(app)}/{place}"
        )

    def base_path(self, app):
        """The part of the feature's address that precedes its name."""
        return "" if self.at_root else app.config["API_PREFIX"]

    def demo(self, model):
        """Decorate a function that fills the empty table of `model` for `flask init-db`.

        It takes the id of the account that will own the records.
        """

        def decorate(function):
            self.demos[model] = function
            return function

        return decorate

    def error_router(self, original_handler, error):
        # Flask-RESTX would answer in three formats of its own; error_handlers.py has one.
        return original_handler(error)

    def _register_apidoc(self, app):
        # Swagger UI comes from openapi/ui.py, newer than the one that Flask-RESTX brings.
        pass

    def _register_doc(self, blueprint):
        # Flask-RESTX would register a 404 at the blueprint's root, where our collection is.
        blueprint.add_url_rule("/", "root", build_only=True)
