"""Give each request an id, and log one line for it.

The id is that of the client's X-Request-ID header if it is valid, else a new one. It is in
the response headers, in every error and in the log. Lines are JSON in production, and plain
text elsewhere.
"""

import logging
import re
import secrets
import sys
import time
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Flask, Response, g, has_app_context, request

from ..errors import Problem
from . import metrics

REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
access_logger = logging.getLogger("myapp.access")


def init_app(app: Flask) -> None:
    """Log the requests to `app`."""
    handler = StderrHandler()
    as_json = app.config["CONFIG_NAME"] == "production"
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logger = logging.getLogger("myapp")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False  # a server with a root handler would repeat each line
    app.before_request(_start_request)
    app.after_request(_finish_request)


# In the two functions below, g and request are resolved once, because each access through
# the proxy costs time.


def _start_request() -> None:
    context = g._get_current_object()
    current = request._get_current_object()  # type: ignore[attr-defined]  # a LocalProxy
    context.began = time.perf_counter()
    request_id = current.headers.get("X-Request-ID", "")
    context.request_id = (
        request_id if REQUEST_ID_PATTERN.fullmatch(request_id) else secrets.token_hex(8)
    )
    if not current.host:  # without it, links cannot be built
        raise Problem(400, "Invalid Host header.")


def _finish_request(response: Response) -> Response:
    context = g._get_current_object()
    current = request._get_current_object()  # type: ignore[attr-defined]  # a LocalProxy
    seconds = time.perf_counter() - context.began
    response.headers["X-Request-ID"] = context.get("request_id", "")
    # The URL rule, because the URL itself may contain personal data.
    route = current.url_rule.rule if current.url_rule else None
    metrics.count_request(current.method, route, response.status_code, seconds)
    if access_logger.isEnabledFor(logging.INFO):
        caller = context.get("caller")
        fields = {
            "method": current.method,
            "route": route or "(none)",
            "status": response.status_code,
            "ms": round(seconds * 1000, 1),
            "account": caller.id if caller else None,
        }
        # `access.info` would take time to find the line of code that called it.
        line = "%(method)s %(route)s %(status)d"
        record = logging.LogRecord(
            access_logger.name, logging.INFO, "", 0, line, (fields,), None
        )
        record.fields = fields
        access_logger.handle(record)
    return response


class StderrHandler(logging.Handler):
    """Writes each line to standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
        except Exception:
            self.handleError(record)


def context_ids() -> dict[str, str | None]:
    """Return the ids of the current request and, if there is one, of the task."""
    if not has_app_context():
        return {"request_id": None}
    task = {"task_id": g.task_id} if "task_id" in g else {}
    return {"request_id": g.get("request_id")} | task


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            **context_ids(),
            **getattr(record, "fields", {"message": record.getMessage()}),
        }
        if record.exc_info:
            fields["trace"] = self.formatException(record.exc_info)
        return orjson.dumps(fields, option=orjson.OPT_UTC_Z).decode()


class TextFormatter(logging.Formatter):
    """Formats a record as text, for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        parts = [
            datetime.fromtimestamp(record.created).strftime("%H:%M:%S"),
            record.getMessage(),
        ]
        if fields:
            parts.append(f"{fields['ms']} ms")
        if fields.get("account"):
            parts.append(f"account {fields['account']}")
        parts += filter(None, context_ids().values())
        line = "  ".join(parts)
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line
