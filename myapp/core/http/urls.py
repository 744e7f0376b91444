"""Absolute URLs of the current request."""

from functools import lru_cache

from flask import current_app, has_request_context, request
from werkzeug.sansio.utils import get_current_url


def init_app(app):
    """Let the models of `app` build URLs of the current request."""
    app.extensions["api_root"] = api_root


def api_root():
    """The absolute URL of API_PREFIX, without a trailing slash; outside a request, its
    path."""
    prefix = current_app.config["API_PREFIX"]
    return here(prefix).rstrip("/") if has_request_context() else prefix


def here(path):
    """The absolute URL of a path below the root of the application."""
    current = request._get_current_object()
    return address(current.scheme, current.host, current.root_path, path)


address = lru_cache(1000)(get_current_url)
