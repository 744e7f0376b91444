"""Security headers for browsers, and CORS."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, Response, request
from flask_cors.core import get_cors_headers, get_cors_options, set_cors_headers
from werkzeug.datastructures import Headers

SECURITY_HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
]
# A response of the API is not a page, so nothing in it may load or run. The pages of the
# documents bring their own policy.
CONTENT_SECURITY_POLICY = (
    "Content-Security-Policy",
    "default-src 'none'; frame-ancestors 'none'",
)
STRICT_TRANSPORT_SECURITY = (
    "Strict-Transport-Security",
    "max-age=31536000; includeSubDomains",
)

# Request headers that pages of other origins may send.
CORS_REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Unmodified-Since",
    "X-Request-ID",
)
# Response headers that they may read.
CORS_RESPONSE_HEADERS = (
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


def init_app(app: Flask) -> None:
    """Add the security headers, and the CORS headers if CORS_ORIGINS is set."""
    # As Flask's documentation does.
    app.wsgi_app = SecurityHeadersMiddleware(app.wsgi_app)  # type: ignore[method-assign]
    origins = app.config["CORS_ORIGINS"]
    if origins:
        resource_options = {
            "origins": origins,
            "allow_headers": CORS_REQUEST_HEADERS,
            "expose_headers": CORS_RESPONSE_HEADERS,
            "max_age": 600,
            "vary_header": False,
        }
        options = get_cors_options(app, resource_options)

        @lru_cache(1000)
        def cors_headers(origin: str) -> list[tuple[str, Any]]:
            headers = Headers({"Origin": origin})
            return list(get_cors_headers(options, headers, "GET").items())

        app.after_request(
            lambda response: _add_cors_headers(response, options, cors_headers)
        )


def _add_cors_headers(
    response: Response,
    options: Any,  # flask-cors exports no type for them
    cors_headers: Callable[[str], list[tuple[str, Any]]],
) -> Response:
    current = request._get_current_object()  # type: ignore[attr-defined]
    origin = current.headers.get("Origin")
    if current.method == "OPTIONS":
        set_cors_headers(response, options)
    elif origin:  # other than OPTIONS, the headers depend on the origin alone
        response.headers.extend(cors_headers(origin))
    vary = response.headers.get("Vary")
    response.headers["Vary"] = f"{vary}, Origin" if vary else "Origin"
    return response


class SecurityHeadersMiddleware:
    """Middleware that adds the security headers to every response."""

    def __init__(self, wsgi_app: WSGIApplication) -> None:
        self.wsgi_app = wsgi_app

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        def start(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            headers += SECURITY_HEADERS
            if not any(name == CONTENT_SECURITY_POLICY[0] for name, _ in headers):
                headers.append(CONTENT_SECURITY_POLICY)
            if environ["wsgi.url_scheme"] == "https":
                headers.append(STRICT_TRANSPORT_SECURITY)
            return start_response(status, headers, exc_info)

        return self.wsgi_app(environ, start)
