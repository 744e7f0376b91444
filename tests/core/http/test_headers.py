"""What every answer carries for browsers, and who else's pages may read it."""

import pytest

from conftest import LAMP, as_account

GADGETS = "/api/v1/sample_gadgets/"
SESSIONS = "/api/v1/auth/sessions/"
FRIEND = "https://app.example.com"


@pytest.fixture
def shared(make_app):
    """A client of an application that pages from FRIEND may call."""
    return as_account(make_app(CORS_ORIGINS=[FRIEND]), "pythonista")


@pytest.mark.parametrize(
    "path, status",
    [
        (SESSIONS, 200),
        ("/nowhere", 404),
        ("/", 302),
        ("/metrics", 200),
        ("/docs/", 200),
    ],
)
def test_every_answer_is_safe_to_show(client, path, status):
    answer = client.get(path)
    assert answer.status_code == status
    for name, value in (
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
    ):
        assert answer.headers.getlist(name) == [value]
    (policy,) = answer.headers.getlist("Content-Security-Policy")
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert ("script-src 'self'" in policy) == (path == "/docs/")


def test_only_over_tls_a_browser_is_told_to_stay_there(stranger):
    name = "Strict-Transport-Security"
    assert name not in stranger.get("/status/").headers
    secure = stranger.get("/status/", base_url="https://localhost")
    assert "max-age=31536000" in secure.headers[name]


def test_no_other_page_may_call_unless_it_is_allowed_to(client, shared):
    for answer in (
        client.get(SESSIONS, headers={"Origin": FRIEND}),
        shared.get(SESSIONS, headers={"Origin": "https://evil.example.com"}),
        shared.get(SESSIONS, headers={"Origin": FRIEND + ".evil.example"}),
        shared.get(SESSIONS, headers={"Origin": "https://appXexample.com"}),
        shared.get(SESSIONS, headers={"Origin": "null"}),
    ):
        assert answer.status_code == 200
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_an_allowed_page_reads_all_that_a_client_needs(shared):
    answer = shared.get(SESSIONS, headers={"Origin": FRIEND})
    assert answer.headers["Access-Control-Allow-Origin"] == FRIEND
    assert {"Authorization", "Accept-Encoding", "Origin"} <= set(answer.vary)
    exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"ETag", "Link", "Location", "X-Request-ID", "Retry-After"} <= set(exposed)
    assert {f"X-RateLimit-{n}" for n in ("Limit", "Remaining", "Reset")} <= set(exposed)
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_an_allowed_page_reads_problems_too(shared):
    for path, headers in (("/nowhere", {}), (SESSIONS, {"Authorization": "Basic x"})):
        answer = shared.get(path, headers={"Origin": FRIEND, **headers})
        assert answer.status_code >= 400
        assert answer.headers["Access-Control-Allow-Origin"] == FRIEND


def test_an_allowed_page_may_send_what_a_client_sends(shared):
    wanted = "authorization, content-type, idempotency-key, if-match, x-request-id"
    answer = shared.options(
        f"{SESSIONS}1",
        headers={
            "Authorization": "",
            "Origin": FRIEND,
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": wanted,
        },
    )
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == FRIEND
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert set(wanted.split(", ")) <= set(allowed.split(", "))
    assert int(answer.headers["Access-Control-Max-Age"]) > 0


def test_an_answer_with_an_etag_is_the_clients_own_to_keep(client, gadget):
    made = client.post(GADGETS, json=LAMP)
    for answer in (made, client.get(gadget["url"]), client.get(GADGETS)):
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert answer.headers["ETag"] and "Authorization" in answer.vary


@pytest.mark.parametrize("path", ["/nowhere", GADGETS + "?page=x", GADGETS + "export"])
def test_what_has_no_etag_is_kept_by_nobody(client, path):
    answer = client.get(path)
    assert "ETag" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
