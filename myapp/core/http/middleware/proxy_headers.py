"""Take the client's address and scheme from the headers of trusted HTTP proxies.

Without a proxy, or behind nginx with `uwsgi_pass`, the server itself knows both. Then the
application is not wrapped, and clients cannot spoof them.
"""

from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask


def init_app(app: Flask) -> None:
    """Wrap `app` in the middleware, if TRUSTED_PROXIES is not 0."""
    proxies = app.config["TRUSTED_PROXIES"]
    if proxies:
        # As Flask's documentation does.
        middleware = ProxyHeadersMiddleware(app.wsgi_app, proxies)
        app.wsgi_app = middleware  # type: ignore[method-assign]


class ProxyHeadersMiddleware:
    """Middleware for an application behind a number of trusted proxies.

    Each proxy appends the address of its peer to X-Forwarded-For, so the entries before
    those of the trusted proxies come from the client and are ignored. X-Forwarded-Proto is
    not such a list: a proxy replaces it or leaves it, so the last value is a proxy's.
    Werkzeug's ProxyFix accepts any text as an address, and it would reach the database.
    """

    def __init__(self, wsgi_app: WSGIApplication, proxies: int) -> None:
        self.wsgi_app = wsgi_app
        self.proxies = proxies

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        addresses = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
        if len(addresses) >= self.proxies:
            with suppress(ValueError):
                environ["REMOTE_ADDR"] = parse_address(addresses[-self.proxies])
        schemes = environ.get("HTTP_X_FORWARDED_PROTO", "").split(",")
        scheme = schemes[-1].strip().lower()
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        return self.wsgi_app(environ, start_response)


def parse_address(text: str) -> str:
    """Parse the IP address in a header; drop the zone of an IPv6 address (RFC 4007 §11).

    Raises ValueError.
    """
    return str(ip_address(text.strip().partition("%")[0]))
