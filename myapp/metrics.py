"""`/metrics`: what happens here, in Prometheus' text format.

Several workers on a host share their counts through files in PROMETHEUS_MULTIPROC_DIR;
without it, a process tells of itself alone.
"""

import os
import time

from flask import Blueprint, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry
from prometheus_client import Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from .db import check_redis, sql
from .trace import route

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
connections = Gauge(
    "database_connections",
    "Connections of the pool, by what they do.",
    ("state",),
    multiprocess_mode="livesum",
)
redis_up = Gauge(
    "redis_up",
    "Whether Redis answers.",
    multiprocess_mode="mostrecent",
)


def init_app(app):
    app.register_blueprint(metrics)
    app.after_request(_count)


def _count(response):
    method = request.method if request.url_rule else "(any)"
    requests.labels(method, route(), response.status_code).inc()
    latency.labels(method, route()).observe(time.perf_counter() - g.began)
    return response


@metrics.route("/metrics")
def tell():
    pool = sql.engine.engine.pool
    if hasattr(pool, "checkedout"):
        connections.labels("in use").set(pool.checkedout())
        connections.labels("idle").set(pool.checkedin())
    redis_up.set(check_redis() == "ok")
    registry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
