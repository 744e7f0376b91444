"""Behind proxies: the address of the client, and the scheme of links."""

import pytest

from conftest import LAMP, PASSWORDS, as_account
from myapp.core.http.middleware import proxy_headers

GADGETS = "/api/v1/sample_gadgets/"
SESSIONS = "/api/v1/auth/sessions/"
AUTH = "/api/v1/auth"
CLIENT, OTHER, CDN, ROUTER = "192.0.2.7", "192.0.2.8", "198.51.100.1", "10.0.0.1"
LIE = "203.0.113.9"


@pytest.fixture
def put_behind_proxies(app, monkeypatch):
    """Put the application behind a number of proxies; all connections are from ROUTER."""
    monkeypatch.setattr(app, "wsgi_app", app.wsgi_app)

    def put_behind(count):
        app.config["TRUSTED_PROXIES"] = count
        proxy_headers.init_app(app)
        client = app.test_client()
        client.environ_base["REMOTE_ADDR"] = ROUTER
        return client

    return put_behind


def forwarded_headers(*addresses):
    return {"X-Forwarded-For": ", ".join(addresses)}


def sign_in(client, headers, password=PASSWORDS["pythonista"]):
    body = {"username": "pythonista", "password": password}
    return client.post(f"{AUTH}/login", json=body, headers=headers)


def address(client, headers):
    """Sign in and return the address of the new session, as the API shows it."""
    token = sign_in(client, headers).json["access_token"]
    sessions = client.get(
        f"{AUTH}/sessions", headers={"Authorization": f"Bearer {token}", **headers}
    )
    (current,) = [session for session in sessions.json["items"] if session["current"]]
    return current["address"]


@pytest.mark.parametrize(
    "count, headers, expected",
    [
        (0, forwarded_headers(CLIENT), ROUTER),
        (0, {}, ROUTER),
        (1, forwarded_headers(CLIENT), CLIENT),
        (1, forwarded_headers(LIE, CLIENT), CLIENT),
        (1, forwarded_headers("2001:db8::7"), "2001:db8::7"),
        (2, forwarded_headers(CLIENT, CDN), CLIENT),
        (2, forwarded_headers(LIE, CLIENT, CDN), CLIENT),
        (2, forwarded_headers(CDN), ROUTER),  # a client bypassed the outer proxy
        (1, {}, ROUTER),  # a client bypassed both
        (1, forwarded_headers("unknown"), ROUTER),
        (1, forwarded_headers("9" * 1000), ROUTER),
        (1, forwarded_headers(""), ROUTER),
        (1, forwarded_headers("fe80::7%" + "x" * 1000), "fe80::7"),
        (1, {"Forwarded": f"for={LIE}", "X-Real-IP": LIE}, ROUTER),
    ],
)
def test_the_client_address_is_the_last_one_before_the_trusted_proxies(
    put_behind_proxies, count, headers, expected
):
    assert address(put_behind_proxies(count), headers) == expected


def test_the_login_throttle_cannot_be_evaded_with_forged_addresses(put_behind_proxies):
    client = put_behind_proxies(1)
    guesses = [
        sign_in(
            client, forwarded_headers(f"203.0.113.{n}", OTHER), "a guess"
        ).status_code
        for n in range(6)
    ]
    assert guesses == [401] * 5 + [429]
    assert sign_in(client, forwarded_headers(CLIENT)).status_code == 200


def test_without_a_proxy_a_client_cannot_choose_its_address(put_behind_proxies):
    client = put_behind_proxies(0)
    guesses = [
        sign_in(client, forwarded_headers(f"203.0.113.{n}"), "a guess").status_code
        for n in range(6)
    ]
    assert guesses == [401] * 5 + [429]


@pytest.mark.parametrize("scheme", ["https", "HTTPS", "http, https", " https "])
def test_an_https_client_gets_https_links_and_hsts(make_app, scheme):
    client = as_account(make_app(TRUSTED_PROXIES=2), "pythonista")
    secure = {"X-Forwarded-Proto": scheme}
    page = client.get(SESSIONS, headers=secure)
    assert page.json["meta"]["first"].startswith("https://localhost/")
    assert "Strict-Transport-Security" in page.headers
    assert client.get("/nowhere", headers=secure).headers["Strict-Transport-Security"]


def test_an_https_client_gets_an_https_location(put_behind_proxies):
    client = put_behind_proxies(1)
    body = {"username": "newcomer", "password": "just arrived"}
    secure = {"X-Forwarded-Proto": "https"}
    created = client.post(f"{AUTH}/register", json=body, headers=secure)
    assert created.status_code == 201
    for url in (created.json["url"], created.headers["Location"]):
        assert url.startswith("https://localhost/")


@pytest.mark.parametrize(
    "count, scheme",
    [(0, "https"), (1, "http"), (1, "https, http"), (1, "javascript"), (1, "")],
)
def test_other_clients_get_http_links_and_no_hsts(
    client, put_behind_proxies, count, scheme
):
    put_behind_proxies(count)
    response = client.post(GADGETS, json=LAMP, headers={"X-Forwarded-Proto": scheme})
    assert response.headers["Location"].startswith("http://localhost/")
    assert "Strict-Transport-Security" not in response.headers


def test_forwarded_hosts_ports_and_prefixes_are_ignored(put_behind_proxies):
    headers = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Port": "1",
        "X-Forwarded-Prefix": "/evil",
    }
    page = put_behind_proxies(1).get("/", headers=headers)
    assert page.headers["Location"] == "/docs/"
    document = put_behind_proxies(1).get("/openapi.json", headers=headers)
    assert b"evil" not in document.data


def test_without_a_proxy_the_application_is_not_wrapped(make_app):
    assert type(make_app().wsgi_app) is not proxy_headers.ProxyHeadersMiddleware
    assert (
        type(make_app(TRUSTED_PROXIES=1).wsgi_app)
        is proxy_headers.ProxyHeadersMiddleware
    )
