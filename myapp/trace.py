"""Every request has an id, and leaves a line in the log.

The id is the client's own where it is sane, else a new one. It stands in the answer, in
every problem and in the log, so that all three can be joined. Lines are JSON in
production, and for people elsewhere.
"""

import logging
import re
import secrets
import time
from datetime import UTC, datetime

import orjson
from flask import g, has_request_context, request
from flask.logging import wsgi_errors_stream

from .problems import Problem

SANE = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
access = logging.getLogger("myapp.access")


def init_app(app):
    handler = logging.StreamHandler(wsgi_errors_stream)
    as_json = app.config["CONFIG_NAME"] == "production"
    handler.setFormatter(AsJson() if as_json else AsText())
    logger = logging.getLogger("myapp")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    app.before_request(_take)
    app.after_request(_answer)


def _take():
    g.began = time.perf_counter()
    sent = request.headers.get("X-Request-ID", "")
    g.request_id = sent if SANE.fullmatch(sent) else secrets.token_hex(8)
    if not request.host:  # links would lead nowhere
        raise Problem(400, "The Host header makes no sense.")


def _answer(response):
    response.headers["X-Request-ID"] = g.get("request_id", "")
    if not access.isEnabledFor(logging.INFO):
        return response
    caller = g.get("caller")
    facts = {
        "method": request.method,
        "route": route(),
        "status": response.status_code,
        "ms": round((time.perf_counter() - g.began) * 1000, 1),
        "account": caller.id if caller else None,
    }
    # Made by hand: `access.info` would look for the line of code that called it.
    line = "%(method)s %(route)s %(status)d"
    record = logging.LogRecord(access.name, logging.INFO, "", 0, line, (facts,), None)
    record.facts = facts
    access.handle(record)
    return response


def route():
    """The template of the address, which says nothing of anybody; never the address."""
    return request.url_rule.rule if request.url_rule else "(none)"


class AsJson(logging.Formatter):
    """A line of JSON for each event."""

    def format(self, record):
        facts = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "request_id": g.get("request_id") if has_request_context() else None,
            **getattr(record, "facts", {"message": record.getMessage()}),
        }
        if record.exc_info:
            facts["trace"] = self.formatException(record.exc_info)
        return orjson.dumps(facts, option=orjson.OPT_UTC_Z).decode()


class AsText(logging.Formatter):
    """A line that a person reads at a glance."""

    def format(self, record):
        facts = getattr(record, "facts", {})
        more = [f"{facts['ms']} ms"] if facts else []
        if facts.get("account"):
            more.append(f"account {facts['account']}")
        if has_request_context():
            more.append(g.get("request_id", ""))
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        line = "  ".join((at, record.getMessage(), *more))
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line
