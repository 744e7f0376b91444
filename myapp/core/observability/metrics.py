"""`/metrics`: metrics in the text format of Prometheus.

Processes on one host share their metrics through files in PROMETHEUS_MULTIPROC_DIR. If it
is not set, a process reports only its own.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy import event

from ..data.session import sql
from .health import check_redis

metrics = Blueprint("metrics", __name__)

request_counter = Counter(
    "http_requests_total",
    "HTTP requests.",
    ("method", "route", "status"),
)
request_duration = Histogram(
    "http_request_duration_seconds",
    "Duration of requests in the application, without the WSGI server.",
    ("method", "route"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
connections_open = Gauge(
    "database_connections_open",
    "Open connections to the databases.",
    multiprocess_mode="livesum",
)
connections_in_use = Gauge(
    "database_connections_in_use",
    "Connections to the primary database that a transaction is using.",
    multiprocess_mode="livesum",
)
redis_up = Gauge(
    "redis_up",
    "1 if Redis answers, else 0.",
    multiprocess_mode="mostrecent",
)
job_counter = Counter(
    "jobs_total",
    "Background jobs by outcome: done or failed.",
    ("job", "outcome"),
)
job_seconds_counter = Counter(
    "job_seconds_total", "Total duration of background jobs.", ("job",)
)


@contextmanager
def count_job(name: str) -> Iterator[None]:
    """Count the block as a job of this name, and measure its duration."""
    began, outcome = time.perf_counter(), "failed"
    try:
        yield
        outcome = "done"
    finally:
        job_counter.labels(name, outcome).inc()
        job_seconds_counter.labels(name).inc(time.perf_counter() - began)


def init_app(app: Flask) -> None:
    """Register `/metrics`, and count the database connections of `app`."""
    app.register_blueprint(metrics)
    with app.app_context():
        for engine in app.extensions["statements"].engines():
            event.listen(engine, "connect", lambda *_: connections_open.inc())
            event.listen(engine, "close", lambda *_: connections_open.dec())
        event.listen(sql.engine, "checkout", lambda *_: connections_in_use.inc())
        event.listen(sql.engine, "checkin", lambda *_: connections_in_use.dec())


def count_request(method: str, route: str | None, status: int, seconds: float) -> None:
    """Count a request; `route` is its URL rule, or None if no rule matched."""
    labels = (method, route) if route else ("(any)", "(none)")
    requests_total, duration = request_metrics(*labels, status)
    requests_total.inc()
    duration.observe(seconds)


@lru_cache(1000)
def request_metrics(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Return the counter and the histogram of such requests.

    The look-up in prometheus_client takes as long as counting, so it is cached.
    """
    return request_counter.labels(method, route, status), request_duration.labels(
        method, route
    )


@metrics.route("/metrics")
def metrics_response() -> Response:
    """Return all metrics."""
    redis_up.set(check_redis() == "ok")
    registry = REGISTRY
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder:
        registry = CollectorRegistry()
        registry.register(LiveWorkersCollector(None, folder))
    return Response(
        generate_latest(registry),
        content_type=CONTENT_TYPE_LATEST,
        headers={"Cache-Control": "no-store"},
    )


class LiveWorkersCollector(MultiProcessCollector):
    """Collects the counters of all processes, and the gauges of those that still run."""

    def collect(self) -> Any:
        return self.merge(
            [str(f) for f in Path(self._path).glob("*.db") if is_current(f)]
        )


def is_current(file: Path) -> bool:
    """Return True if the metrics file of a process must be read."""
    if file.stat().st_size == 0:  # the process was killed before it wrote anything
        return False
    process = file.stem.rpartition("_")[2]
    if not file.name.startswith("gauge_live") or not process.isdecimal():
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it runs under another account
        pass
    return True
