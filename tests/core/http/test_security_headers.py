"""The security headers of every response, and CORS."""

import pytest

from conftest import LAMP, as_account

GADGETS = "/api/v1/sample_gadgets/"
SESSIONS = "/api/v1/auth/sessions/"
FRIEND = "https://app.example.com"


@pytest.fixture
def cors_client(make_app):
    """Return a client of an application that allows the origin FRIEND."""
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
def test_every_response_has_the_security_headers(client, path, status):
    response = client.get(path)
    assert response.status_code == status
    for name, value in (
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
    ):
        assert response.headers.getlist(name) == [value]
    (policy,) = response.headers.getlist("Content-Security-Policy")
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert ("script-src 'self'" in policy) == (path == "/docs/")


def test_hsts_is_sent_over_tls_only(stranger):
    name = "Strict-Transport-Security"
    assert name not in stranger.get("/status/").headers
    secure = stranger.get("/status/", base_url="https://localhost")
    assert "max-age=31536000" in secure.headers[name]


def test_other_origins_are_refused_unless_allowed(client, cors_client):
    others = ["https://evil.example.com", FRIEND + ".evil.example", "null"]
    others.append("https://appXexample.com")
    for sender, origin in [(client, FRIEND), *((cors_client, each) for each in others)]:
        response = sender.get(SESSIONS, headers={"Origin": origin})
        assert response.status_code == 200
        assert "Access-Control-Allow-Origin" not in response.headers


def test_an_allowed_origin_may_read_the_headers_that_a_client_needs(cors_client):
    response = cors_client.get(SESSIONS, headers={"Origin": FRIEND})
    assert response.headers["Access-Control-Allow-Origin"] == FRIEND
    assert {"Authorization", "Accept-Encoding", "Origin"} <= set(response.vary)
    exposed = response.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"ETag", "Link", "Location", "X-Request-ID", "Retry-After"} <= set(exposed)
    assert {f"X-RateLimit-{n}" for n in ("Limit", "Remaining", "Reset")} <= set(exposed)
    assert "Access-Control-Allow-Credentials" not in response.headers


def test_an_allowed_origin_may_read_problems(cors_client):
    for path, headers in (("/nowhere", {}), (SESSIONS, {"Authorization": "Basic x"})):
        response = cors_client.get(path, headers={"Origin": FRIEND, **headers})
        assert response.status_code >= 400
        assert response.headers["Access-Control-Allow-Origin"] == FRIEND


def test_an_allowed_origin_may_send_the_headers_of_a_client(cors_client):
    wanted = "authorization, content-type, idempotency-key, if-match, x-request-id"
    headers = {"Authorization": "", "Origin": FRIEND}
    headers |= {"Access-Control-Request-Method": "PATCH"}
    headers |= {"Access-Control-Request-Headers": wanted}
    response = cors_client.options(f"{SESSIONS}1", headers=headers)
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == FRIEND
    assert "PATCH" in response.headers["Access-Control-Allow-Methods"]
    allowed = response.headers["Access-Control-Allow-Headers"].lower()
    assert set(wanted.split(", ")) <= set(allowed.split(", "))
    assert int(response.headers["Access-Control-Max-Age"]) > 0


def test_only_the_client_may_cache_a_response_with_an_etag(client, gadget):
    created = client.post(GADGETS, json=LAMP)
    for response in (created, client.get(gadget["url"]), client.get(GADGETS)):
        assert response.headers["Cache-Control"] == "private, no-cache"
        assert response.headers["ETag"] and "Authorization" in response.vary


@pytest.mark.parametrize("path", ["/nowhere", GADGETS + "?page=x", GADGETS + "export"])
def test_a_response_without_an_etag_is_not_cached(client, path):
    response = client.get(path)
    assert "ETag" not in response.headers
    assert response.headers["Cache-Control"] == "no-store"
