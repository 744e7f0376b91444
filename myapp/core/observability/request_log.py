"""Every request has an id, and leaves a line in the log.

The id is the client's own where it is sane, else a new one. It stands in the answer, in
every problem and in the log, so that all three can be joined. Lines are JSON in
production, and for people elsewhere.
"""

import logging
import re
import secrets
import sys
import time
from datetime import UTC, datetime

import orjson
from flask import g, has_app_context, request

from ..errors import Problem
from . import metrics

SANE = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
access = logging.getLogger("myapp.access")


def init_app(app):
    handler = Lines()
    as_json = app.config["CONFIG_NAME"] == "production"
    handler.setFormatter(AsJson() if as_json else AsText())
    logger = logging.getLogger("myapp")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False  # a server that logs, too, would write each line once more
    app.before_request(_take)
    app.after_request(_answer)


def _take():
    ours, sent = g._get_current_object(), request._get_current_object()
    ours.began = time.perf_counter()
    wanted = sent.headers.get("X-Request-ID", "")
    ours.request_id = wanted if SANE.fullmatch(wanted) else secrets.token_hex(8)
    if not sent.host:  # links would lead nowhere
        raise Problem(400, "The Host header makes no sense.")


def _answer(response):
    ours, asked = g._get_current_object(), request._get_current_object()
    seconds = time.perf_counter() - ours.began
    response.headers["X-Request-ID"] = ours.get("request_id", "")
    # The template of the address says nothing of anybody; the address might.
    route = asked.url_rule.rule if asked.url_rule else None
    metrics.count(asked.method, route, response.status_code, seconds)
    if access.isEnabledFor(logging.INFO):
        caller = ours.get("caller")
        facts = {
            "method": asked.method,
            "route": route or "(none)",
            "status": response.status_code,
            "ms": round(seconds * 1000, 1),
            "account": caller.id if caller else None,
        }
        # Made by hand: `access.info` would look for the line of code that called it.
        line = "%(method)s %(route)s %(status)d"
        record = logging.LogRecord(
            access.name, logging.INFO, "", 0, line, (facts,), None
        )
        record.facts = facts
        access.handle(record)
    return response


class Lines(logging.Handler):
    """Writes to standard error, which passes on each line when it ends."""

    def emit(self, record):
        try:
            sys.stderr.write(self.format(record) + "\n")
        except Exception:
            self.handleError(record)


def known_ids():
    """What the line belongs to: the request, and the task where there is one."""
    if not has_app_context():
        return {"request_id": None}
    task = {"task_id": g.task_id} if "task_id" in g else {}
    return {"request_id": g.get("request_id")} | task


class AsJson(logging.Formatter):
    """A line of JSON for each event."""

    def format(self, record):
        facts = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            **known_ids(),
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
        more += filter(None, known_ids().values())
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        line = "  ".join((at, record.getMessage(), *more))
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line
