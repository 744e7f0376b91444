"""Every request has an id: the client's own where it is sane, else a new one.

It stands in the answer, in every problem and in the log, so that all three can be joined.
"""

import re
import secrets

from flask import g, request

from .problems import Problem

SANE = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def init_app(app):
    app.before_request(_take)
    app.after_request(_answer)


def _take():
    sent = request.headers.get("X-Request-ID", "")
    g.request_id = sent if SANE.fullmatch(sent) else secrets.token_hex(8)
    if not request.host:  # links would lead nowhere
        raise Problem(400, "The Host header makes no sense.")


def _answer(response):
    response.headers["X-Request-ID"] = g.get("request_id", "")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    return response
