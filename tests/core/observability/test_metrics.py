"""What Prometheus finds at `/metrics`; over several workers: test_workers.py."""

import pytest
from prometheus_client.parser import text_string_to_metric_families as families

from conftest import LAMP, as_account
from myapp.core.observability.metrics import job

GADGETS = "/api/v1/sample_gadgets/"
SESSIONS = "/api/v1/auth/sessions/"
ONE = "/api/v1/sample_gadgets/<int:id>"


def test_metrics_are_prometheus_text_for_everybody(stranger):
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


def test_requests_are_counted_by_the_template_of_their_address(client, gadget, grown):
    for url in (gadget["url"], gadget["url"], f"{GADGETS}999999999"):
        client.get(url)
    client.post(GADGETS, json=LAMP)
    one = {"method": "GET", "route": ONE}
    assert grown("http_requests_total", status="200", **one) == 2
    assert grown("http_requests_total", status="404", **one) == 1
    assert grown("http_request_duration_seconds_count", **one) == 3
    assert grown("http_request_duration_seconds_bucket", le="+Inf", **one) == 3
    assert 0 < grown("http_request_duration_seconds_sum", **one) < 3
    made = {"method": "POST", "route": GADGETS, "status": "201"}
    assert grown("http_requests_total", **made) == 1


def test_strangers_cannot_make_up_labels(stranger, grown):
    stranger.get("/no/such/place")
    stranger.open(SESSIONS, method="BREW")
    text = stranger.get("/metrics").text
    assert "/no/such/place" not in text and "BREW" not in text
    nowhere = {"method": "(any)", "route": "(none)"}
    assert grown("http_requests_total", status="404", **nowhere) == 1
    assert grown("http_requests_total", status="405", **nowhere) == 1


def test_an_error_of_ours_is_counted_too(make_app, grown):
    broken = make_app(TESTING=False)
    broken.add_url_rule("/breaks", view_func=lambda: 1 / 0)
    assert broken.test_client().get("/breaks").status_code == 500
    counted = {"method": "GET", "route": "/breaks", "status": "500"}
    assert grown("http_requests_total", **counted) == 1


def test_connections_that_come_and_go_are_counted(make_app, grown):
    client = as_account(make_app(), "pythonista")
    client.get(SESSIONS)
    assert grown("database_connections_open") == 1
    assert grown("database_connections_in_use") == 0


def test_it_says_whether_redis_is_there(make_app, client, tmp_path):
    def line(client):
        return client.get("/metrics").text.split("\nredis_up ")[1].split("\n")[0]

    assert line(client) == "1.0"
    gone = make_app(REDIS_URL=f"unix://{tmp_path}/nobody.sock")
    assert line(gone.test_client()) == "0.0"


def test_jobs_are_counted_by_how_they_ended(app, grown):
    app.test_cli_runner().invoke(args=["purge"])
    app.extensions["celery"].tasks["audit.purge"].apply()
    with pytest.raises(ZeroDivisionError), job("audit.purge"):
        1 / 0
    assert grown("jobs_total", job="audit.purge", outcome="done") == 2
    assert grown("jobs_total", job="audit.purge", outcome="failed") == 1
    assert grown("job_seconds_total", job="audit.purge") > 0
