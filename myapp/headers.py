"""What every answer carries for browsers: security headers, and who else may read it."""

from flask import request
from flask_cors import CORS

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# An answer is no page: nothing in it may load or run. The documents bring a policy of
# their own.
POLICY = "default-src 'none'; frame-ancestors 'none'"
A_YEAR = "max-age=31536000; includeSubDomains"

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
    app.after_request(_secure)
    origins = app.config["CORS_ORIGINS"]
    if origins:
        CORS(
            app,
            origins=origins,
            allow_headers=SENT,
            expose_headers=READ,
            max_age=600,
        )
    if origins and "*" not in origins:
        app.after_request(_differ_by_origin)


def _secure(response):
    response.headers.extend(ALWAYS)
    response.headers.setdefault("Content-Security-Policy", POLICY)
    if request.is_secure:
        response.headers["Strict-Transport-Security"] = A_YEAR
    return response


def _differ_by_origin(response):
    response.vary.add("Origin")  # flask-cors leaves it out where there is one origin
    return response
