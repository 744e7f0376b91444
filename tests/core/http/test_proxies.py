"""Behind proxies: whose address counts, and what a link begins with."""

import pytest

from conftest import LAMP, PASSWORDS, as_account
from myapp.core.http.middleware import proxy_headers

GADGETS = "/api/v1/sample_gadgets/"
SESSIONS = "/api/v1/auth/sessions/"
AUTH = "/api/v1/auth"
CLIENT, OTHER, CDN, ROUTER = "192.0.2.7", "192.0.2.8", "198.51.100.1", "10.0.0.1"
LIE = "203.0.113.9"


@pytest.fixture
def behind(app, monkeypatch):
    """Put the application behind so many proxies; its clients all come from ROUTER."""
    monkeypatch.setattr(app, "wsgi_app", app.wsgi_app)

    def behind(count):
        app.config["TRUSTED_PROXIES"] = count
        proxy_headers.init_app(app)
        client = app.test_client()
        client.environ_base["REMOTE_ADDR"] = ROUTER
        return client

    return behind


def forwarded(*addresses):
    return {"X-Forwarded-For": ", ".join(addresses)}


def sign_in(client, headers, password=PASSWORDS["pythonista"]):
    body = {"username": "pythonista", "password": password}
    return client.post(f"{AUTH}/login", json=body, headers=headers)


def address(client, headers):
    """Where a session that begins now began, as its owner is told."""
    token = sign_in(client, headers).json["access_token"]
    told = client.get(
        f"{AUTH}/sessions", headers={"Authorization": f"Bearer {token}", **headers}
    )
    (current,) = [session for session in told.json["items"] if session["current"]]
    return current["address"]


@pytest.mark.parametrize(
    "count, sent, counts",
    [
        (0, forwarded(CLIENT), ROUTER),
        (0, {}, ROUTER),
        (1, forwarded(CLIENT), CLIENT),
        (1, forwarded(LIE, CLIENT), CLIENT),
        (1, forwarded("2001:db8::7"), "2001:db8::7"),
        (2, forwarded(CLIENT, CDN), CLIENT),
        (2, forwarded(LIE, CLIENT, CDN), CLIENT),
        (2, forwarded(CDN), ROUTER),  # somebody came round the outer one
        (1, {}, ROUTER),  # and here round both
        (1, forwarded("unknown"), ROUTER),
        (1, forwarded("9" * 1000), ROUTER),
        (1, forwarded(""), ROUTER),
        (1, forwarded("fe80::7%" + "x" * 1000), "fe80::7"),
        (1, {"Forwarded": f"for={LIE}", "X-Real-IP": LIE}, ROUTER),
    ],
)
def test_the_address_that_counts_is_the_one_before_our_proxies(
    behind, count, sent, counts
):
    assert address(behind(count), sent) == counts


def test_who_guesses_is_slowed_down_alone_and_whatever_they_say(behind):
    client = behind(1)
    guesses = [
        sign_in(client, forwarded(f"203.0.113.{n}", OTHER), "a guess").status_code
        for n in range(6)
    ]
    assert guesses == [401] * 5 + [429]
    assert sign_in(client, forwarded(CLIENT)).status_code == 200


def test_without_a_proxy_nobody_chooses_their_address(behind):
    client = behind(0)
    guesses = [
        sign_in(client, forwarded(f"203.0.113.{n}"), "a guess").status_code
        for n in range(6)
    ]
    assert guesses == [401] * 5 + [429]


@pytest.mark.parametrize("said", ["https", "HTTPS", "http, https", " https "])
def test_a_client_of_https_gets_links_and_rules_for_https(make_app, said):
    client = as_account(make_app(TRUSTED_PROXIES=2), "pythonista")
    secure = {"X-Forwarded-Proto": said}
    page = client.get(SESSIONS, headers=secure)
    assert page.json["meta"]["first"].startswith("https://localhost/")
    assert "Strict-Transport-Security" in page.headers
    assert client.get("/nowhere", headers=secure).headers["Strict-Transport-Security"]


def test_a_new_thing_is_at_an_address_of_https(behind):
    client = behind(1)
    body = {"username": "newcomer", "password": "just arrived"}
    secure = {"X-Forwarded-Proto": "https"}
    made = client.post(f"{AUTH}/register", json=body, headers=secure)
    assert made.status_code == 201
    for url in (made.json["url"], made.headers["Location"]):
        assert url.startswith("https://localhost/")


@pytest.mark.parametrize(
    "count, said",
    [(0, "https"), (1, "http"), (1, "https, http"), (1, "javascript"), (1, "")],
)
def test_no_other_client_is_told_of_https(client, behind, count, said):
    behind(count)
    answer = client.post(GADGETS, json=LAMP, headers={"X-Forwarded-Proto": said})
    assert answer.headers["Location"].startswith("http://localhost/")
    assert "Strict-Transport-Security" not in answer.headers


def test_the_host_and_the_path_are_what_the_nearest_proxy_asked_for(behind):
    headers = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Port": "1",
        "X-Forwarded-Prefix": "/evil",
    }
    page = behind(1).get("/", headers=headers)
    assert page.headers["Location"] == "/docs/"
    document = behind(1).get("/openapi.json", headers=headers)
    assert b"evil" not in document.data


def test_with_no_proxy_nothing_stands_before_the_application(make_app):
    assert type(make_app().wsgi_app) is not proxy_headers.Behind
    assert type(make_app(TRUSTED_PROXIES=1).wsgi_app) is proxy_headers.Behind
