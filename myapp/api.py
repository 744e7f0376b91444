"""FeatureApi: one Flask-RESTX Api for each slice, all alike.

This is the only file that knows the insides of Flask-RESTX; tests/test_restx.py holds what
it relies on.
"""

import time
from functools import partial
from random import random

import flask_restx
from flask import Blueprint, request

from .databases import PATIENCE
from .db import Changed, unit_of_work
from .docs import swagger_response, ui_page


class Resource(flask_restx.Resource):
    """What answers at one address, a method for each verb. One request, one transaction:
    it commits after the answer is built and before it is sent."""

    # Whether a request changes anything in the SQL database; None: unless it only reads.
    writes = None

    def dispatch_request(self, *args, **kwargs):
        began = time.monotonic()
        writes = self.writes
        if writes is None:
            writes = request.method not in ("GET", "HEAD")
        for attempt in range(ATTEMPTS):
            try:
                with unit_of_work(writes):
                    return super().dispatch_request(*args, **kwargs)
            except Changed:
                late = time.monotonic() > began + PATIENCE
                if late or attempt == ATTEMPTS - 1:
                    raise
            # Of many that gave way to each other, not all come again at once.
            time.sleep(random() * PAUSE * 2**attempt)


ATTEMPTS = 8  # times that a request runs, at most, when it may run anew
PAUSE = 0.002  # seconds, at most, after the first time; then twice as long each time


class FeatureApi(flask_restx.Api):
    """The API of one slice, on a blueprint of the slice's name, with documents of its own.

    `name`: the slice's, which is its address below API_PREFIX, too. `at_root`: whether it
    stands at the root instead. `below`: the address of the thing that all of it is about,
    as `devices/<int:device_id>`; only the documents stay where they are. A slice's
    commands.py adds to `cli`, Flask's own group for a blueprint, and its demo data with
    `demo`.
    """

    def __init__(self, name, description, at_root=False, below=None):
        self.name = name
        self.at_root = at_root
        self.below = below
        super().__init__(title=name.capitalize(), description=description)
        blueprint = Blueprint(name, __name__, cli_group=None)  # flask <command>, flat
        self.cli = blueprint.cli
        self.demos = {}  # by model
        self.init_app(blueprint, add_specs=False)

    def mount(self, app):
        """Hang the slice into `app`."""
        prefix = "" if self.at_root else app.config["API_PREFIX"]
        place = f"{self.below}/{self.name}" if self.below else self.name
        app.register_blueprint(self.blueprint, url_prefix=f"{prefix}/{place}")
        documents = {"docs": ui_page, "swagger.json": swagger_response}
        for name, page in documents.items():
            endpoint = f"{self.name}.{name.partition('.')[0]}"
            view = partial(page, self)
            app.add_url_rule(f"{prefix}/{self.name}/{name}", endpoint, view)

    def demo(self, model):
        """The decorated function fills the empty table of `model` when `flask init-db` asks
        it to. It takes the id of the account that will own what it makes."""

        def decorate(function):
            self.demos[model] = function
            return function

        return decorate

    def error_router(self, original_handler, error):
        # Flask-RESTX would answer in three forms of its own; problems.py has the one.
        return original_handler(error)

    def _register_apidoc(self, app):
        # Swagger UI comes from docs.py, newer than the one that Flask-RESTX brings.
        pass

    def _register_doc(self, blueprint):
        # Flask-RESTX would put a 404 at the blueprint's root, where our collection is.
        blueprint.add_url_rule("/", "root", build_only=True)
