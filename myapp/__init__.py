"""The house: `create_app`, and the FEATURES that it mounts.

A folder here is a feature; a file is something that features share.
"""

import gc
import os
from functools import cached_property

from flask import Flask
from flask.sessions import SessionInterface
from werkzeug.routing import IntegerConverter

from . import early  # noqa: F401  before all others
from . import (
    chunks,
    cli,
    db,
    docs,
    doctor,
    findings,
    guard,
    headers,
    jobs,
    limits,
    metrics,
    problems,
    proxies,
    settings,
    statements,
    trace,
)
from .account import account
from .audit import audit
from .auth import auth
from .auth.models import look_up as by_session
from .devices import devices
from .imports import imports
from .presence import presence
from .roles import roles
from .status import status
from .todos import todos
from .users import users
from .users.models import keep_hash, look_up as by_username
from .version import __version__  # noqa: F401

gc.freeze()  # see early.py
gc.enable()

FEATURES = (
    *(status, auth, account, users, roles, audit),
    *(devices, imports, presence, todos),
)


class Id(IntegerConverter):
    """An id in a path: a positive integer that a database can hold."""

    regex = "[0-9]{1,19}"

    def __init__(self, url_map):
        super().__init__(url_map, min=1, max=2**63 - 1)


class NoCookies(SessionInterface):
    """Each request says itself who calls; there is nothing to read here."""

    def open_session(self, app, request):
        return None


class App(Flask):
    """Flask without what nothing here uses, and every request would pay for: cookies, and
    looking whether each function is a coroutine."""

    session_interface = NoCookies()

    def ensure_sync(self, func):
        return func

    @cached_property
    def slashed(self):
        """The addresses that end in a slash, without it."""
        rules = self.url_map.iter_rules()
        return {r.rule[:-1] for r in rules if r.rule.endswith("/") and not r.arguments}

    def request_context(self, environ):
        # Werkzeug would find what is there without its slash, but not its other verbs.
        path = environ.setdefault("PATH_INFO", "")  # PEP 3333: it may be left out
        if path in self.slashed:
            environ["PATH_INFO"] = path + "/"
        return super().request_context(environ)


def create_app(config=None, **overrides):
    """The application.

    `config`: development, testing or production; by default what FLASK_CONFIG says, else
    production, or development where the command `flask` asks.
    `overrides`: settings that go before all others. Raises SettingError.
    """
    instance = os.environ.get("INSTANCE_PATH")
    app = App(
        __name__,
        instance_relative_config=True,
        instance_path=instance and os.path.abspath(instance),
        static_folder=None,
    )
    try:
        settings.load(app, config or settings.environment(), overrides)
        os.makedirs(app.instance_path, exist_ok=True)
    except (Exception, settings.SettingError) as error:
        if not findings.is_called():
            raise
        return doctor.bedridden(app, error)

    app.url_map.strict_slashes = app.url_map.merge_slashes = False
    app.url_map.converters["int"] = Id

    trace.init_app(app)
    headers.init_app(app)
    proxies.init_app(app)
    chunks.init_app(app)
    problems.init_app(app)
    db.init_app(app)
    statements.init_app(app)
    metrics.init_app(app)
    limits.init_app(app)
    jobs.init_app(app)
    guard.init_app(app, by_username, by_session, keep_hash)

    app.register_blueprint(docs.docs)
    for feature in FEATURES:
        feature.mount(app)
    app.extensions["features"] = FEATURES
    docs.check(app)
    cli.init_app(app)
    return app
