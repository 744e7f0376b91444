"""Behind proxies that speak HTTP: who calls, and over what, is what the nearest ones say.

Where nobody is in between, or nginx hands requests on by `uwsgi_pass`, the server knows
that itself, and what a client says of it counts for nothing.
"""

from contextlib import suppress
from ipaddress import ip_address


def init_app(app):
    if app.config["TRUSTED_PROXIES"]:
        app.wsgi_app = Behind(app.wsgi_app, app.config["TRUSTED_PROXIES"])


class Behind:
    """A WSGI application behind so many proxies.

    Each of them adds to X-Forwarded-For whom it got a request from: of the client's own
    entries none counts. X-Forwarded-Proto has no such list: proxies replace it, or leave
    it, so that its last word is that of one of them.
    Werkzeug's ProxyFix believes any text: an address that is none would reach the database.
    """

    def __init__(self, wsgi_app, proxies):
        self.wsgi_app = wsgi_app
        self.proxies = proxies

    def __call__(self, environ, start_response):
        addresses = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
        if len(addresses) >= self.proxies:
            with suppress(ValueError):
                environ["REMOTE_ADDR"] = address(addresses[-self.proxies])
        schemes = environ.get("HTTP_X_FORWARDED_PROTO", "").split(",")
        scheme = schemes[-1].strip().lower()
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        return self.wsgi_app(environ, start_response)


def address(text):
    """The IP address that a proxy wrote, without a zone of its own. Raises ValueError."""
    return str(ip_address(text.strip().partition("%")[0]))
