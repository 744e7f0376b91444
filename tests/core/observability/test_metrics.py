"""Metrics at `/metrics`; test_workers.py has those of several workers."""

import pytest
from prometheus_client.parser import text_string_to_metric_families as families

from conftest import LAMP, as_account
from myapp.core.observability.metrics import count_job

GADGETS = "/api/v1/sample_gadgets/"
SESSIONS = "/api/v1/auth/sessions/"
ONE = "/api/v1/sample_gadgets/<int:id>"


def test_metrics_are_public_and_in_the_format_of_prometheus(stranger):
    answer = stranger.get("/metrics")
    assert answer.status_code == 200
    assert answer.mimetype == "text/plain"
    assert answer.headers["Cache-Control"] == "no-store"
    assert {family.name for family in families(answer.text)} >= {
        "http_requests",
        "http_request_duration_seconds",
        "database_connections_open",
        "database_connections_in_use",
        "redis_up",
        "jobs",
        "job_seconds",
    }


def test_requests_are_counted_by_url_rule(client, gadget, metric_increase):
    for url in (gadget["url"], gadget["url"], f"{GADGETS}999999999"):
        client.get(url)
    client.post(GADGETS, json=LAMP)
    one = {"method": "GET", "route": ONE}
    assert metric_increase("http_requests_total", status="200", **one) == 2
    assert metric_increase("http_requests_total", status="404", **one) == 1
    assert metric_increase("http_request_duration_seconds_count", **one) == 3
    assert (
        metric_increase("http_request_duration_seconds_bucket", le="+Inf", **one) == 3
    )
    assert 0 < metric_increase("http_request_duration_seconds_sum", **one) < 3
    created = {"method": "POST", "route": GADGETS, "status": "201"}
    assert metric_increase("http_requests_total", **created) == 1


def test_unknown_paths_and_methods_create_no_labels(stranger, metric_increase):
    stranger.get("/no/such/place")
    stranger.open(SESSIONS, method="BREW")
    text = stranger.get("/metrics").text
    assert "/no/such/place" not in text and "BREW" not in text
    nowhere = {"method": "(any)", "route": "(none)"}
    assert metric_increase("http_requests_total", status="404", **nowhere) == 1
    assert metric_increase("http_requests_total", status="405", **nowhere) == 1


def test_an_unexpected_error_is_counted(make_app, metric_increase):
    broken = make_app(TESTING=False)
    broken.add_url_rule("/breaks", view_func=lambda: 1 / 0)
    assert broken.test_client().get("/breaks").status_code == 500
    counted = {"method": "GET", "route": "/breaks", "status": "500"}
    assert metric_increase("http_requests_total", **counted) == 1


def test_open_connections_are_counted(make_app, metric_increase):
    client = as_account(make_app(), "pythonista")
    client.get(SESSIONS)
    assert metric_increase("database_connections_open") == 1
    assert metric_increase("database_connections_in_use") == 0


def test_it_reports_if_redis_answers(make_app, client, tmp_path):
    def line(client):
        return client.get("/metrics").text.split("\nredis_up ")[1].split("\n")[0]

    assert line(client) == "1.0"
    gone = make_app(REDIS_URL=f"unix://{tmp_path}/missing.sock")
    assert line(gone.test_client()) == "0.0"


def test_jobs_are_counted_by_outcome(app, metric_increase):
    app.test_cli_runner().invoke(args=["purge"])
    app.extensions["celery"].tasks["audit.purge"].apply()
    with pytest.raises(ZeroDivisionError), count_job("audit.purge"):
        1 / 0
    assert metric_increase("jobs_total", job="audit.purge", outcome="done") == 2
    assert metric_increase("jobs_total", job="audit.purge", outcome="failed") == 1
    assert metric_increase("job_seconds_total", job="audit.purge") > 0
