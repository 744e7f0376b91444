"""`/metrics`: what happens here, in Prometheus' text format.

Several workers on a host share their counts through files in PROMETHEUS_MULTIPROC_DIR;
without it, a process tells of itself alone.
"""

import os
import time
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from flask import Blueprint, Response
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

requests = Counter(
    "http_requests_total",
    "Requests answered.",
    ("method", "route", "status"),
)
latency = Histogram(
    "http_request_duration_seconds",
    "From the first line of ours to the last, without the server's own work.",
    ("method", "route"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
connections_open = Gauge(
    "database_connections_open",
    "Connections to the databases, all that there are.",
    multiprocess_mode="livesum",
)
connections_in_use = Gauge(
    "database_connections_in_use",
    "Those that some transaction is using now, which may write.",
    multiprocess_mode="livesum",
)
redis_up = Gauge(
    "redis_up",
    "Whether Redis answers.",
    multiprocess_mode="mostrecent",
)


jobs = Counter(
    "jobs_total",
    "Work that no request waits for, by how it ended: done or failed.",
    ("job", "outcome"),
)
job_seconds = Counter("job_seconds_total", "What that work took.", ("job",))


@contextmanager
def job(name):
    """Count what is done in the block as a job of this name."""
    began, outcome = time.perf_counter(), "failed"
    try:
        yield
        outcome = "done"
    finally:
        jobs.labels(name, outcome).inc()
        job_seconds.labels(name).inc(time.perf_counter() - began)


def init_app(app):
    app.register_blueprint(metrics)
    with app.app_context():
        for engine in app.extensions["statements"].engines():
            event.listen(engine, "connect", lambda *_: connections_open.inc())
            event.listen(engine, "close", lambda *_: connections_open.dec())
        event.listen(sql.engine, "checkout", lambda *_: connections_in_use.inc())
        event.listen(sql.engine, "checkin", lambda *_: connections_in_use.dec())


def count(method, route, status, seconds):
    """Count a request; `route` is the template of its address, None where there is none."""
    where = (method, route) if route else ("(any)", "(none)")
    answered, took = labelled(*where, status)
    answered.inc()
    took.observe(seconds)


@lru_cache(1000)
def labelled(method, route, status):
    """The counter and the histogram of such requests: to look for them takes as long as to
    count."""
    return requests.labels(method, route, status), latency.labels(method, route)


@metrics.route("/metrics")
def tell():
    """What Prometheus comes for."""
    redis_up.set(check_redis() == "ok")
    registry = REGISTRY
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder:
        registry = CollectorRegistry()
        registry.register(Workers(None, folder))
    return Response(
        generate_latest(registry),
        content_type=CONTENT_TYPE_LATEST,
        headers={"Cache-Control": "no-store"},
    )


class Workers(MultiProcessCollector):
    """What all processes have counted, and what those that live are doing."""

    def collect(self):
        return self.merge([str(f) for f in Path(self._path).glob("*.db") if counts(f)])


def counts(file):
    """Whether a process's file of samples is to be read."""
    if file.stat().st_size == 0:  # it was killed before it could write
        return False
    process = file.stem.rpartition("_")[2]
    if not file.name.startswith("gauge_live") or not process.isdecimal():
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives, as somebody else
        pass
    return True
