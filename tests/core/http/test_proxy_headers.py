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
    headers = {"Authorization": f"Bearer {token}", **headers}
    sessions = client.get(f"{AUTH}/sessions", headers=headers).json["items"]
    (current,) = [session for session in sessions if session["current"]]
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


@pytest.mark.parametrize("count, others", [(0, []), (1, [OTHER])])
def test_the_login_throttle_cannot_be_evaded_with_forged_addresses(
    put_behind_proxies, count, others
):
    client = put_behind_proxies(count)
    forged = [forwarded_headers(f"203.0.113.{n}", *others) for n in range(6)]
    guesses = [sign_in(client, headers, "a guess").status_code for headers in forged]
    assert guesses == [401] * 5 + [429]
    if count:  # the proxy tells clients apart
        assert sign_in(client, forwarded_headers(CLIENT)).status_code == 200


@pytest.mark.parametrize("scheme", ["https", "HTTPS", "http, https", " https "])
def test_an_https_client_gets_https_links_and_hsts(app, put_behind_proxies, scheme):
    anonymous, secure = put_behind_proxies(2), {"X-Forwarded-Proto": scheme}
    client = as_account(app, "pythonista")
    page = client.get(SESSIONS, headers=secure)
    assert page.json["meta"]["first"].startswith("https://localhost/")
    for response in (page, client.get("/nowhere", headers=secure)):
        assert "Strict-Transport-Security" in response.headers
    body = {"username": "newcomer", "password": "just arrived"}
    created = anonymous.post(f"{AUTH}/register", json=body, headers=secure)
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
    client, headers = put_behind_proxies(1), {"X-Forwarded-Host": "evil.example"}
    headers |= {"X-Forwarded-Port": "1", "X-Forwarded-Prefix": "/evil"}
    assert client.get("/", headers=headers).headers["Location"] == "/docs/"
    assert b"evil" not in client.get("/openapi.json", headers=headers).data


@pytest.mark.parametrize("count", [0, 1])
def test_an_application_is_wrapped_only_behind_a_proxy(make_app, count):
    wrapped = type(make_app(TRUSTED_PROXIES=count).wsgi_app)
    assert (wrapped is proxy_headers.ProxyHeadersMiddleware) == bool(count)
