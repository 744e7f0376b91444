"""Absolute URLs, as the client of the current request sees them."""

from functools import lru_cache

from flask import Flask, current_app, has_request_context, request
from werkzeug.sansio.utils import get_current_url


def init_app(app: Flask) -> None:
    """Let the models of `app` build URLs of the current request."""
    app.extensions["api_root"] = api_root


def api_root() -> str:
    """Return the absolute URL of API_PREFIX, without a trailing slash.

    Outside a request, return its path.
    """
    prefix: str = current_app.config["API_PREFIX"]
    return absolute_url(prefix).rstrip("/") if has_request_context() else prefix


def absolute_url(path: str) -> str:
    """Return the absolute URL of a path below the root of the application."""
    current = request._get_current_object()  # type: ignore[attr-defined]
    return build_url(current.scheme, current.host, current.root_path, path)


# Cached, because most requests have the same few URLs.
build_url = lru_cache(1000)(get_current_url)
