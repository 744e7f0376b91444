"""What every answer carries for browsers: security headers, and who else may read it."""

from functools import lru_cache

from flask import request
from flask_cors.core import get_cors_headers, get_cors_options, set_cors_headers
from werkzeug.datastructures import Headers

ALWAYS = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
]
# An answer is no page: nothing in it may load or run. The documents bring a policy of
# their own.
POLICY = ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
A_YEAR = ("Strict-Transport-Security", "max-age=31536000; includeSubDomains")

SENT = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Unmodified-Since",
    "X-Request-ID",
)
READ = (
    "Content-Disposition",
    "ETag",
    "Idempotent-Replayed",
    "Link",
    "Location",
    "Retry-After",
    "WWW-Authenticate",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-ID",
)


def init_app(app):
    app.wsgi_app = Secured(app.wsgi_app)
    origins = app.config["CORS_ORIGINS"]
    if origins:
        share = {
            "origins": origins,
            "allow_headers": SENT,
            "expose_headers": READ,
            "max_age": 600,
            "vary_header": False,
        }
        options = get_cors_options(app, share)

        @lru_cache(1000)
        def granted(origin):
            sent = Headers({"Origin": origin})
            return list(get_cors_headers(options, sent, "GET").items())

        app.after_request(lambda response: _shared(response, options, granted))


def _shared(response, options, granted):
    sent = request._get_current_object()
    origin = sent.headers.get("Origin")
    if sent.method == "OPTIONS":
        set_cors_headers(response, options)
    elif origin:  # what is granted depends on nothing else, then
        response.headers.extend(granted(origin))
    vary = response.headers.get("Vary")
    response.headers["Vary"] = f"{vary}, Origin" if vary else "Origin"
    return response


class Secured:
    """A WSGI application, all of whose answers carry the security headers."""

    def __init__(self, wsgi_app):
        self.wsgi_app = wsgi_app

    def __call__(self, environ, start_response):
        def start(status, headers, exc_info=None):
            headers += ALWAYS
            if not any(name == POLICY[0] for name, _ in headers):
                headers.append(POLICY)
            if environ["wsgi.url_scheme"] == "https":
                headers.append(A_YEAR)
            return start_response(status, headers, exc_info)

        return self.wsgi_app(environ, start)
