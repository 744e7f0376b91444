"""The Flask application: its class, and the parts of `core` that it is built from."""

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from flask import Flask, Request
from flask.ctx import RequestContext
from flask.sessions import SessionInterface
from werkzeug.routing import IntegerConverter, Map

from . import settings
from .data import migrations, session, statements
from .http import error_handlers, urls
from .http.feature_api import FeatureApi
from .http.middleware import chunked_input, proxy_headers, security_headers
from .jobs import celery_app
from .observability import metrics, request_log
from .openapi import ui
from .security import authentication, permissions, rate_limit


class IdConverter(IntegerConverter):
    """An id in a path: a positive integer that a database can hold."""

    regex = "[0-9]{1,19}"

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map, min=1, max=2**63 - 1)


class NoCookies(SessionInterface):
    """A session interface without sessions: every request carries its credentials."""

    def open_session(self, app: Flask, request: Request) -> None:
        return None


class Application(Flask):
    """Flask without cookies and coroutines: the service uses neither, and each would cost
    every request some time."""

    session_interface = NoCookies()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func

    @cached_property
    def slash_paths(self) -> set[str]:
        """The paths that end in a slash, without that slash."""
        rules = self.url_map.iter_rules()
        return {r.rule[:-1] for r in rules if r.rule.endswith("/") and not r.arguments}

    def request_context(self, environ: dict[str, Any]) -> RequestContext:
        # Without the slash, Werkzeug would answer OPTIONS and 405 for the wrong methods.
        path = environ.setdefault("PATH_INFO", "")  # PEP 3333: it may be missing
        if path in self.slash_paths:
            environ["PATH_INFO"] = path + "/"
        return super().request_context(environ)


def new_application(import_name: str) -> Application:
    """Return an application without settings; INSTANCE_PATH names its instance folder."""
    instance = os.environ.get("INSTANCE_PATH")
    return Application(
        import_name,
        instance_relative_config=True,
        instance_path=os.path.abspath(instance) if instance else None,
        static_folder=None,
    )


def configure(
    app: Application,
    features: Sequence[FeatureApi],
    config: str | None,
    overrides: dict[str, Any],
) -> None:
    """Load the settings of `app` and of its features. Raises SettingError.

    `config`: development, testing or production; by default as `settings.environment`.
    """
    settings.declare_defaults(features)
    settings.load_settings(app, config or settings.configuration_name(), overrides)
    os.makedirs(app.instance_path, exist_ok=True)
    for feature in features:
        complete = getattr(feature.module("settings"), "complete", None)
        if complete:
            complete(app)


def warn_of_unmounted(app: Application, features: Sequence[FeatureApi]) -> None:
    """Log a warning for each feature in the package that is not among `features`."""
    mounted = {feature.package for feature in features}
    for path in sorted(Path(app.root_path).glob("*/endpoints.py")):
        if f"{app.import_name}.{path.parent.name}" not in mounted:
            app.logger.warning(
                "%s is a feature, but it is not in FEATURES of %s/__init__.py.",
                path.parent,
                app.root_path,
            )


def assemble(
    app: Application,
    features: Sequence[FeatureApi],
    accounts: tuple[Callable[..., Any], ...],
) -> None:
    """Initialize the parts of `core` for `app`, and mount the features.

    `accounts`: the functions that `authentication.init_app` takes.
    """
    app.url_map.strict_slashes = app.url_map.merge_slashes = False
    app.url_map.converters["int"] = IdConverter

    request_log.init_app(app)
    security_headers.init_app(app)
    proxy_headers.init_app(app)
    chunked_input.init_app(app)
    error_handlers.init_app(app)
    session.init_app(app)
    migrations.init_app(app)
    statements.init_app(app)
    urls.init_app(app)
    metrics.init_app(app)
    rate_limit.init_app(app)
    authentication.init_app(app, *accounts)
    permissions.declare_permissions(features)
    app.extensions["features"] = features
    ui.register(app)
    for feature in features:
        feature.mount(app)
    celery_app.init_app(app)
    permissions.check_verbs(app)
    if app.config["CONFIG_NAME"] == "development":
        warn_of_unmounted(app, features)
    ui.init_app(app)
