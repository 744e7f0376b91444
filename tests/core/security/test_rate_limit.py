"""Rate limits: how many requests a window allows, and which are not counted."""

import time

import pytest

from conftest import LAMP, as_account
from myapp.core.data.redis import redis_store
from myapp.core.settings import SettingError
from support.accounts import SESSIONS, bearer
from support.assertions import assert_problem
from support.discovery import API

GADGETS = f"{API}/sample_gadgets/"


@pytest.fixture
def limit_app(make_app):
    """Return a function that makes an application with a limit, by default 5 per minute."""

    def limit(rate="5 per minute"):
        app = make_app(USE_RATE_LIMITS=True, RATE_LIMIT=rate)
        redis_store.flushdb()
        return app

    return limit


def standing(response):
    """Return the limit, the remaining requests and the seconds until the next window."""
    limit, left, reset = (
        int(response.headers[f"X-RateLimit-{name}"])
        for name in ("Limit", "Remaining", "Reset")
    )
    return limit, left, reset - time.time()


def test_by_default_there_is_no_limit(client):
    responses = [client.get(SESSIONS) for _ in range(10)]
    assert {response.status_code for response in responses} == {200}
    assert not [name for name in responses[0].headers.keys() if "RateLimit" in name]


def test_a_request_over_the_limit_is_refused_and_not_carried_out(limit_app, make_app):
    free = as_account(make_app(), "pythonista")
    before = free.get(GADGETS).json["meta"]["total"]
    client = as_account(limit_app("2 per minute"), "pythonista")
    for left in (1, 0):
        response = client.post(GADGETS, json=LAMP)
        assert response.status_code == 201
        assert standing(response)[:2] == (2, left)
        assert "Retry-After" not in response.headers
    refused = client.post(GADGETS, json=LAMP)
    assert_problem(refused, 429)
    limit, left, seconds = standing(refused)
    assert (limit, left) == (2, 0)
    assert 0 < seconds <= 61
    assert abs(int(refused.headers["Retry-After"]) - seconds) <= 2
    added = free.get(GADGETS, query_string={"sort": "-id"}).json
    assert added["meta"]["total"] == before + 2
    for gadget in added["items"][:2]:
        free.delete(gadget["url"])


def test_the_next_window_allows_requests_again(limit_app):
    client = as_account(limit_app("1 per 1 second"), "pythonista")
    assert client.get(SESSIONS).status_code == 200
    refused = client.get(SESSIONS)
    assert refused.status_code == 429
    time.sleep(int(refused.headers["Retry-After"]) + 0.1)
    assert client.get(SESSIONS).status_code == 200


def test_an_account_has_a_count_of_its_own_for_all_credentials(limit_app, make_app):
    free = as_account(make_app(), "pythonista")
    token = bearer(free.get(f"{API}/auth/request-token").json["token"])
    app = limit_app("1 per minute")
    mine, other = as_account(app, "pythonista"), as_account(app, "engineer")
    assert mine.get(SESSIONS, headers=token).status_code == 200
    assert mine.get(SESSIONS).status_code == 429
    assert [other.get(SESSIONS).status_code for _ in range(2)] == [200, 429]
    free.post(f"{API}/auth/logout", headers=token)


def test_unknown_clients_are_counted_by_address(limit_app):
    stranger = limit_app("2 per minute").test_client()

    def statuses(address):
        environ = {"REMOTE_ADDR": address}
        return [stranger.get(SESSIONS, environ_base=environ).status_code for _ in "123"]

    assert statuses("192.0.2.1") == [401, 401, 429]
    assert statuses("192.0.2.2") == [401, 401, 429]
    assert statuses("2001:db8::1") == [401, 401, 429]
    assert statuses("2001:db8::2") == [429, 429, 429]  # the same /64 network
    assert statuses("2001:db8:0:1::1") == [401, 401, 429]


@pytest.mark.parametrize("address", ["register", "login", "refresh", "logout"])
def test_login_and_sign_up_are_counted(limit_app, address):
    stranger = limit_app("1 per minute").test_client()
    responses = [stranger.post(f"{API}/auth/{address}") for _ in range(2)]
    assert responses[0].status_code in (401, 415)
    assert responses[1].status_code == 429


def test_reading_public_endpoints_is_not_counted(limit_app):
    stranger = limit_app("1 per minute").test_client()
    for path in ("/status/", "/status/ready", "/docs/", "/openapi.json", "/metrics"):
        for _ in range(2):
            response = stranger.get(path)
            assert response.status_code == 200
            assert standing(response)[:2] == (1, 1)
    assert stranger.options(SESSIONS).status_code == 200
    assert stranger.get(SESSIONS).status_code == 401
    assert standing(stranger.get("/status/"))[:2] == (1, 0)


@pytest.mark.parametrize(
    "verb, path", [("GET", "/nowhere"), ("DELETE", GADGETS), ("OPTIONS", GADGETS)]
)
def test_every_response_has_the_headers(limit_app, verb, path):
    client = as_account(limit_app(), "pythonista")
    response = client.open(path, method=verb)
    limit, left, seconds = standing(response)
    assert limit == 5 and 0 <= left <= 5 and seconds > -1


def test_an_invalid_rate_is_a_setting_error(make_app):
    with pytest.raises(SettingError, match="RATE_LIMIT"):
        make_app(RATE_LIMIT="a few per day")
