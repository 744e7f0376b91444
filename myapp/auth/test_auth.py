import unicodedata
from base64 import b64encode
from datetime import timedelta
from functools import partial

import pytest
from argon2 import PasswordHasher, extract_parameters
from joserfc import jwt
from joserfc.jwk import OctKey

from conftest import (
    CHEAP_PARAMETERS,
    LAMP,
    PASSWORDS,
    SHARED_PASSWORD,
    basic,
    signed_in_client,
)
from myapp.core.data import batches
from support.assertions import assert_problem
from support.concurrency import at_once

from ..core.data.models.columns import now
from ..core.data.session import sql, unit_of_work
from ..core.jobs import schedule
from ..core.security import passwords
from ..users.models import User
from .models import Session

AUTH = "/api/v1/auth"
REGISTER = f"{AUTH}/register"
LOGIN = f"{AUTH}/login"
TOKEN = f"{AUTH}/request-token"
REFRESH = f"{AUTH}/refresh"
LOGOUT = f"{AUTH}/logout"
SESSIONS = f"{AUTH}/sessions"
ACCOUNT = "/api/v1/account"
USERS = "/api/v1/users/"
GADGETS = "/api/v1/sample_gadgets/"
RIGHT = basic("pythonista", PASSWORDS["pythonista"])
NEVER_STORED = "no-cache, no-store, max-age=0"
HERE = "192.0.2.1"
ELSEWHERE = "198.51.100.1"
GARDENER = {"username": "Gardener", "password": "green fingers"}


def ask(client, address, authorization):
    headers = {"Authorization": authorization} if authorization is not None else {}
    return client.get(address, headers=headers)


def bearer(token):
    return f"Bearer {token}"


def sign_in(client, username="gardener", password=SHARED_PASSWORD, address=HERE):
    return client.post(
        LOGIN,
        json={"username": username, "password": password},
        environ_overrides={"REMOTE_ADDR": address},
    )


def refresh(client, token):
    return client.post(REFRESH, headers={"Authorization": bearer(token)})


def refusal(response):
    """Return the body of a 401, without the parts that differ for each request."""
    assert_problem(response, 401)
    challenges = response.headers["WWW-Authenticate"]
    assert "Basic realm=" in challenges and "Bearer realm=" in challenges
    body = {k: v for k, v in response.json.items() if k != "request_id"}
    return body, {k: v for k, v in response.headers if k != "X-Request-ID"}


@pytest.fixture
def gardener(app):
    """Return a client that authenticates as gardener with HTTP Basic."""
    return signed_in_client(app, "gardener")


@pytest.fixture
def pair(gardener, stranger):
    """Return the tokens of a session of gardener."""
    return sign_in(stranger).json


@pytest.fixture
def token(stranger):
    """Return an access token of pythonista."""
    return ask(stranger, TOKEN, RIGHT).json["token"]


@pytest.fixture
def verified_hashes(monkeypatch):
    """Return the list of the hashes that passwords are verified against from now on."""
    seen = []

    class Watched(PasswordHasher):
        def verify(self, hash, password):
            seen.append(hash)
            return super().verify(hash, password)

    monkeypatch.setattr(passwords, "hasher", Watched(**CHEAP_PARAMETERS))
    return seen


@pytest.fixture
def cheap(app, monkeypatch):
    """Use argon2 at its lowest cost, for tests with many failures."""
    least = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "hasher", least)
    monkeypatch.setattr(
        app.extensions["authenticator"],
        "dummy_hash",
        passwords.hash_password("unknown"),
    )


@pytest.fixture
def registered_client(cheap, stranger):
    """Return a client without credentials, after the sign-up of Gardener."""
    assert stranger.post(REGISTER, json=GARDENER).status_code == 201
    return stranger


# Sign-up


def test_a_new_account_can_sign_in(stranger):
    response = stranger.post(REGISTER, json=GARDENER)
    assert response.status_code == 201
    assert response.headers["Location"] == response.json["url"]
    assert response.json["url"] == f"http://localhost{USERS}{response.json['id']}"
    assert response.json["username"] == "Gardener"
    assert (response.json["role"], response.json["status"]) == ("user", "normal")
    assert response.json["last_login_at"] is None
    assert not [word for word in ("password", "$argon2") if word in response.text]
    assert sign_in(stranger, **GARDENER).status_code == 200


@pytest.mark.parametrize("name", ["pythonista", "PYTHONISTA", "pythonistA"])
def test_a_name_that_is_taken_in_any_case_is_409(stranger, name):
    body = {"username": name, "password": "12345678"}
    assert_problem(stranger.post(REGISTER, json=body), 409)


@pytest.mark.parametrize(
    "body, faults",
    [
        ({}, ["/password", "/username"]),
        ({"username": "a b", "password": "1234567"}, ["/password", "/username"]),
        ({"username": "ab"}, ["/password", "/username"]),
        ({**GARDENER, "username": "a" * 65}, ["/username"]),
        ({**GARDENER, "username": "gärtner"}, ["/username"]),
        ({**GARDENER, "username": "gardener\n"}, ["/username"]),
        ({**GARDENER, "username": None}, ["/username"]),
        ({**GARDENER, "password": "a" * 129}, ["/password"]),
        ({**GARDENER, "password": "12345678\0"}, ["/password"]),
        ({**GARDENER, "password": 12345678}, ["/password"]),
        ({**GARDENER, "role": "admin"}, ["/role"]),
        ({**GARDENER, "status": "normal", "id": 1}, ["/id", "/status"]),
    ],
)
def test_an_invalid_sign_up_is_422_with_every_error(stranger, body, faults):
    refused = assert_problem(stranger.post(REGISTER, json=body), 422)
    assert sorted({error["pointer"] for error in refused["errors"]}) == faults


def test_a_disabled_sign_up_is_403(app, stranger):
    app.config["REGISTRATION_OPEN"] = False
    assert_problem(stranger.post(REGISTER, json=GARDENER), 403)
    app.config["REGISTRATION_OPEN"] = True
    assert stranger.post(REGISTER, json=GARDENER).status_code == 201


def test_the_name_of_a_deleted_account_is_free_again(gardener, stranger):
    assert_problem(stranger.post(REGISTER, json=GARDENER), 409)
    before = gardener.get(ACCOUNT).json
    assert gardener.delete(ACCOUNT).status_code == 204
    response = stranger.post(REGISTER, json=GARDENER)
    assert response.status_code == 201
    assert response.json["id"] != before["id"]
    refusal(sign_in(stranger))
    assert sign_in(stranger, **GARDENER).status_code == 200


def test_a_failed_sign_in_before_the_sign_up_is_not_cached(
    registered_client,
):
    newcomer = {"username": "newcomer", "password": "just arrived"}
    refusal(sign_in(registered_client, **newcomer))
    assert registered_client.post(REGISTER, json=newcomer).status_code == 201
    assert sign_in(registered_client, **newcomer).status_code == 200


# Sign-in


def test_signing_in_gets_a_pair_of_tokens(gardener, stranger):
    answer = sign_in(stranger)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == NEVER_STORED
    assert answer.json.keys() == {
        "access_token",
        "refresh_token",
        "token_type",
        "expires_in",
    }
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["expires_in"] == 15 * 60
    account = ask(stranger, ACCOUNT, bearer(answer.json["access_token"]))
    assert account.json["username"] == "gardener"


def test_a_sign_in_is_stored_on_the_account(gardener, stranger):
    assert gardener.get(ACCOUNT).json["last_login_at"] is None
    sign_in(stranger, address=ELSEWHERE)
    account = gardener.get(ACCOUNT).json
    assert account["last_login_at"] >= account["created_at"]
    assert account["last_login_ip"] == ELSEWHERE


@pytest.mark.parametrize("name", ["gardener", "GARDENER", "gARDENEr"])
def test_a_name_signs_in_in_any_case(gardener, stranger, name):
    assert sign_in(stranger, name).status_code == 200
    assert ask(stranger, SESSIONS, basic(name, SHARED_PASSWORD)).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "\N{KELVIN SIGN}iosk",
        "k\N{LATIN SMALL LETTER DOTLESS I}osk",
        "K\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}OSK",
        "kio\N{LATIN SMALL LETTER LONG S}k",
        "ki\N{CYRILLIC SMALL LETTER O}sk",
        "\N{FULLWIDTH LATIN SMALL LETTER K}iosk",
        "kiosk\N{COMBINING ACUTE ACCENT}",
        "kiosk\N{ZERO WIDTH SPACE}",
        "kiosk ",
    ],
)
def test_a_username_that_only_looks_alike_is_401(app, cheap, stranger, name):
    signed_in_client(app, "kiosk")
    assert sign_in(stranger, "KIOSK").status_code == 200
    unknown = refusal(sign_in(stranger, "unknown"))
    assert refusal(sign_in(stranger, name)) == unknown
    assert refusal(ask(stranger, TOKEN, basic(name, SHARED_PASSWORD))) == unknown


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_password_is_equal_in_each_unicode_normalization(cheap, stranger, forms):
    first, second = (unicodedata.normalize(form, "crème brûlée") for form in forms)
    assert first != second
    stranger.post(REGISTER, json={**GARDENER, "password": first})
    for password in (second, first):
        assert sign_in(stranger, "gardener", password).status_code == 200
    refusal(sign_in(stranger, "gardener", "creme brulee"))


@pytest.mark.parametrize(
    "body, faults",
    [
        ({}, ["/password", "/username"]),
        ({"username": "", "password": ""}, ["/password", "/username"]),
        ({"username": "a" * 65, "password": "a" * 1025}, ["/password", "/username"]),
        ({**GARDENER, "username": "a\0b"}, ["/username"]),
        ({**GARDENER, "remember": True}, ["/remember"]),
    ],
)
def test_an_invalid_sign_in_is_422_with_every_error(stranger, body, faults):
    refused = assert_problem(stranger.post(LOGIN, json=body), 422)
    assert sorted({error["pointer"] for error in refused["errors"]}) == faults


def test_each_failed_sign_in_has_the_same_answer_and_the_same_work(
    app, admin, stranger, verified_hashes
):
    for name in ("blocked", "deleted"):
        url = f"{USERS}{signed_in_client(app, name).get(ACCOUNT).json['id']}"
        if name == "blocked":
            assert admin.patch(url, json={"status": "blocked"}).status_code == 200
        else:
            assert admin.delete(url).status_code == 204
    verified_hashes.clear()
    names = ("pythonista", "unknown", "blocked", "deleted")
    answers = [refusal(sign_in(stranger, name)) for name in names]
    assert answers == [answers[0]] * 4
    work = [extract_parameters(hash) for hash in verified_hashes]
    assert work == [work[0]] * 4


# Login throttle


def guess(client, username="gardener", address=HERE, way=LOGIN):
    """Send a wrong password, and return the status."""
    if way == LOGIN:
        response = sign_in(client, username, "a wrong password", address)
    else:
        response = client.get(
            way,
            headers={"Authorization": basic(username, "a wrong password")},
            environ_overrides={"REMOTE_ADDR": address},
        )
    return response.status_code


def assert_slowed_down(response, longest):
    """Assert that a response is a 429 with a Retry-After of at most `longest` seconds."""
    assert_problem(response, 429)
    assert 1 <= int(response.headers["Retry-After"]) <= longest
    return True


@pytest.mark.parametrize("way", [LOGIN, SESSIONS, TOKEN])
@pytest.mark.parametrize("name", ["gardener", "GARDENER", "unknown"])
def test_after_five_failures_sign_in_is_throttled(
    registered_client, verified_hashes, name, way
):
    assert [guess(registered_client, name, way=way) for _ in range(5)] == [401] * 5
    verified_hashes.clear()
    assert [
        guess(registered_client, name, way=way) for way in (LOGIN, SESSIONS, TOKEN)
    ] == [429] * 3
    assert assert_slowed_down(
        sign_in(registered_client, name, GARDENER["password"]), 60
    )
    assert verified_hashes == []


def test_failures_of_basic_and_of_login_count_together(registered_client):
    ways = (LOGIN, SESSIONS, TOKEN, LOGIN, SESSIONS)
    assert [guess(registered_client, way=way) for way in ways] == [401] * 5
    assert guess(registered_client) == 429


def test_failures_throttle_no_other_client(registered_client):
    other = {"username": "neighbour", "password": "next door"}
    registered_client.post(REGISTER, json=other)
    while guess(registered_client) != 429:
        pass
    assert sign_in(registered_client, **other).status_code == 200
    assert sign_in(registered_client, **GARDENER, address=ELSEWHERE).status_code == 200


def test_signing_in_does_not_count_as_a_failure(registered_client):
    assert [guess(registered_client) for _ in range(4)] == [401] * 4
    for _ in range(3):
        assert sign_in(registered_client, **GARDENER).status_code == 200
    assert [guess(registered_client) for _ in range(2)] == [401, 429]


def test_an_address_is_throttled_after_thirty_failures_of_any_accounts(
    registered_client,
):
    assert {guess(registered_client, f"name-{n}") for n in range(30)} == {401}
    assert assert_slowed_down(sign_in(registered_client, **GARDENER), 60)
    assert sign_in(registered_client, **GARDENER, address=ELSEWHERE).status_code == 200


def test_an_ipv6_network_counts_as_one_address(registered_client):
    for n in range(5):
        assert guess(registered_client, address=f"2001:db8:0:1::{n}") == 401
    assert guess(registered_client, address="2001:db8:0:1:ffff::1") == 429
    assert guess(registered_client, address="2001:db8:0:2::1") == 401


@pytest.mark.parametrize("way", [LOGIN, SESSIONS, TOKEN])
def test_failures_from_many_addresses_do_not_lock_out_a_known_address(
    app, registered_client, way
):
    def come_in(address):
        app.extensions[
            "authenticator"
        ].passwords.clear()  # right passwords are not cached
        if way == LOGIN:
            return sign_in(registered_client, **GARDENER, address=address)
        return registered_client.get(
            way,
            headers={"Authorization": basic(*GARDENER.values())},
            environ_overrides={"REMOTE_ADDR": address},
        )

    assert come_in(HERE).status_code == 200
    for n in range(20):
        assert guess(registered_client, address=f"203.0.113.{n}") == 401
    assert assert_slowed_down(come_in(ELSEWHERE), 10 * 60)
    assert come_in(HERE).status_code == 200
    assert [guess(registered_client) for _ in range(6)] == [401] * 5 + [429]


def test_failures_count_without_redis(make_app, monkeypatch, tmp_path):
    app = make_app(REDIS_URL=f"unix://{tmp_path}/missing.sock")
    stranger = app.test_client()
    least = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "hasher", least)
    monkeypatch.setattr(
        app.extensions["authenticator"],
        "dummy_hash",
        passwords.hash_password("unknown"),
    )
    assert [guess(stranger, "unknown") for _ in range(5)] == [401] * 5
    assert assert_slowed_down(sign_in(stranger, "unknown"), 60)
    assert guess(stranger, "member") == 401
    assert guess(stranger, "unknown", address=ELSEWHERE) == 401


# Refresh


def test_a_refresh_token_gets_the_next_pair(stranger, pair):
    first = refresh(stranger, pair["refresh_token"])
    assert first.status_code == 200
    assert first.headers["Cache-Control"] == NEVER_STORED
    assert first.json.keys() == pair.keys()
    tokens = {first.json["access_token"], first.json["refresh_token"]}
    assert not tokens & set(map(str, pair.values()))
    second = refresh(stranger, first.json["refresh_token"])
    assert (
        ask(stranger, ACCOUNT, bearer(second.json["access_token"])).status_code == 200
    )


def test_a_new_pair_belongs_to_the_same_session(gardener, stranger, pair):
    (before,) = gardener.get(SESSIONS).json["items"]
    refresh(stranger, pair["refresh_token"])
    (after,) = gardener.get(SESSIONS).json["items"]
    assert after["id"] == before["id"]


def test_a_reused_refresh_token_ends_the_session(gardener, stranger, pair):
    other = sign_in(stranger).json
    stolen = refresh(stranger, pair["refresh_token"]).json
    refusal(refresh(stranger, pair["refresh_token"]))
    for access in (pair["access_token"], stolen["access_token"]):
        refusal(ask(stranger, ACCOUNT, bearer(access)))
    refusal(refresh(stranger, stolen["refresh_token"]))
    # Only that session has ended, and this was committed despite the 401.
    assert gardener.get(SESSIONS).json["meta"]["total"] == 1
    assert ask(stranger, ACCOUNT, bearer(other["access_token"])).status_code == 200


def test_a_token_of_one_type_is_not_accepted_as_another(stranger, pair):
    refusal(refresh(stranger, pair["access_token"]))
    refusal(ask(stranger, ACCOUNT, bearer(pair["refresh_token"])))
    refusal(ask(stranger, TOKEN, bearer(pair["refresh_token"])))
    assert ask(stranger, ACCOUNT, bearer(pair["access_token"])).status_code == 200
    assert refresh(stranger, pair["refresh_token"]).status_code == 200


def test_refresh_does_not_accept_a_password(gardener, stranger):
    refusal(gardener.post(REFRESH))
    refusal(stranger.post(REFRESH))
    refusal(refresh(stranger, "a.b.c"))


# Sign-out


def test_signing_out_ends_only_this_session(stranger, pair):
    other = sign_in(stranger).json
    out = stranger.post(LOGOUT, headers={"Authorization": bearer(pair["access_token"])})
    assert (out.status_code, out.data) == (204, b"")
    refusal(ask(stranger, ACCOUNT, bearer(pair["access_token"])))
    refusal(refresh(stranger, pair["refresh_token"]))
    assert ask(stranger, ACCOUNT, bearer(other["access_token"])).status_code == 200
    assert refresh(stranger, other["refresh_token"]).status_code == 200


def test_signing_out_with_a_password_changes_nothing(gardener, stranger, pair):
    assert gardener.post(LOGOUT).status_code == 204
    assert gardener.get(ACCOUNT).status_code == 200
    assert ask(stranger, ACCOUNT, bearer(pair["access_token"])).status_code == 200


# Sessions of the caller


@pytest.fixture
def at_home(gardener, stranger):
    """Return a client with a token of gardener."""
    return client_with_token(stranger, sign_in(stranger).json)


def client_with_token(client, pair):
    client = client.application.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = bearer(pair["access_token"])
    return client


def test_a_session_shows_its_client_and_whether_it_is_the_current_one(app, at_home):
    phone = app.test_client()
    phone.environ_base["HTTP_USER_AGENT"] = "Phone/1.0 " + "x" * 300
    phone = client_with_token(phone, sign_in(phone, address=ELSEWHERE).json)
    first, second = at_home.get(SESSIONS).json["items"]
    assert (first["address"], second["address"]) == (HERE, ELSEWHERE)
    assert second["agent"] == ("Phone/1.0 " + "x" * 300)[:200]
    assert (first["current"], second["current"]) == (True, False)
    assert [one["current"] for one in phone.get(SESSIONS).json["items"]] == [
        False,
        True,
    ]
    assert at_home.get(second["url"]).json == second


def test_a_request_with_a_password_has_no_current_session(gardener, at_home):
    assert [one["current"] for one in gardener.get(SESSIONS).json["items"]] == [False]


def test_a_session_can_be_ended_from_another(stranger, at_home):
    pair = sign_in(stranger).json
    url = at_home.get(SESSIONS).json["items"][1]["url"]
    assert ask(stranger, ACCOUNT, bearer(pair["access_token"])).status_code == 200
    assert at_home.delete(url).status_code == 204
    refusal(ask(stranger, ACCOUNT, bearer(pair["access_token"])))
    refusal(refresh(stranger, pair["refresh_token"]))
    assert_problem(at_home.get(url), 404)
    assert_problem(at_home.delete(url), 404)
    assert at_home.get(SESSIONS).json["meta"]["total"] == 1


def test_a_session_of_another_account_is_404(admin, at_home):
    (session,) = at_home.get(SESSIONS).json["items"]
    assert admin.get(SESSIONS).json["items"] == []
    assert_problem(admin.get(session["url"]), 404)
    assert_problem(admin.delete(session["url"]), 404)
    assert at_home.get(session["url"]).json == session


# Request a token


def test_a_name_and_a_password_get_a_token(stranger):
    answer = ask(stranger, TOKEN, RIGHT)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == NEVER_STORED
    assert answer.json.keys() == {"token", "expires_in"}
    assert answer.json["expires_in"] == 15 * 60


def test_a_token_holds_only_its_account_and_times(app, stranger):
    app.config["JWT_TTL"] = 2
    answer = ask(stranger, TOKEN, RIGHT).json
    key = OctKey.import_key(app.config["JWT_SECRET_KEY"])
    token = jwt.decode(answer["token"], key)
    claims = token.claims
    assert token.header.keys() == {"alg", "typ", "kid"}
    assert claims.keys() == {"iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp"}
    assert answer["expires_in"] == claims["exp"] - claims["iat"] == 120
    me = ask(stranger, ACCOUNT, RIGHT).json
    assert claims["sub"] == str(me["id"])
    (session,) = ask(stranger, SESSIONS, RIGHT).json["items"]
    assert claims["sid"] == session["id"]


def test_a_token_has_the_permissions_of_its_account(stranger, token):
    stranger.environ_base["HTTP_AUTHORIZATION"] = bearer(token)
    response = stranger.post(GADGETS, json=LAMP)
    assert response.status_code == 201
    assert response.json["owner"] == "pythonista"
    assert stranger.get(GADGETS).json["items"] == [response.json]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_authentication_scheme_is_case_insensitive(stranger, token, scheme):
    assert ask(stranger, SESSIONS, f"{scheme} {token}").status_code == 200


def test_a_token_cannot_request_another_token(stranger, token):
    assert ask(stranger, SESSIONS, bearer(token)).status_code == 200
    refusal(ask(stranger, TOKEN, bearer(token)))


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH", "DELETE"])
def test_request_token_is_read_only(client, verb):
    refused = client.open(TOKEN, method=verb)
    assert refused.status_code == 405
    assert set(refused.allow) == {"GET", "HEAD", "OPTIONS"}
    assert set(client.options(TOKEN).allow) == {"GET", "HEAD", "OPTIONS"}


def test_head_has_no_token(client):
    head = client.head(TOKEN)
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Cache-Control"] == NEVER_STORED


# HTTP Basic


def test_a_name_and_a_password_work_everywhere(stranger):
    assert ask(stranger, SESSIONS, RIGHT).status_code == 200


def test_with_tokens_only_a_password_can_only_request_a_token(app, stranger):
    app.config["USE_TOKEN_AUTH"] = True
    refusal(ask(stranger, SESSIONS, RIGHT))
    token = ask(stranger, TOKEN, RIGHT).json["token"]
    assert ask(stranger, SESSIONS, bearer(token)).status_code == 200
    refusal(ask(stranger, TOKEN, bearer(token)))
    pair = sign_in(stranger, "pythonista", PASSWORDS["pythonista"]).json
    assert ask(stranger, SESSIONS, bearer(pair["access_token"])).status_code == 200


def test_a_username_is_case_insensitive(client, stranger, gadget):
    answer = ask(stranger, GADGETS, basic("PYTHONISTA", PASSWORDS["pythonista"]))
    assert answer.json["items"] == [gadget]
    assert gadget["owner"] == "pythonista"


# Wrong credentials


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        basic("pythonista", "wrong password"),
        basic("unknown", PASSWORDS["pythonista"]),
        basic("pythonista", ""),
        basic("pythonista", PASSWORDS["pythonista"].swapcase()),
        basic("pythonista", PASSWORDS["pythonista"] + " "),
        basic("pythonista", PASSWORDS["engineer"]),
        basic("pythonista ", PASSWORDS["pythonista"]),
        basic("", ""),
        basic("%", PASSWORDS["pythonista"]),
        basic("pythonista' --", "x"),
        basic("py\0thonista", "x"),
        basic("ü" * 1000, "ß"),
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic " + b64encode(b"pythonista").decode(),
        "Basic " + b64encode(b"\xff\xfe:\xff").decode(),
        "Bearer",
        "Bearer ",
        "Digest username=pythonista",
        "pythonista",
        RIGHT.replace("Basic", "Bearer"),
    ],
)
def test_all_wrong_credentials_have_the_same_answer(stranger, authorization):
    for address in (SESSIONS, TOKEN):
        nothing = refusal(ask(stranger, address, None))
        assert refusal(ask(stranger, address, authorization)) == nothing


def test_a_cached_password_does_not_accept_a_wrong_one(stranger):
    for _ in range(2):
        assert ask(stranger, SESSIONS, RIGHT).status_code == 200
        refusal(ask(stranger, SESSIONS, basic("pythonista", "wrong")))
        refusal(ask(stranger, SESSIONS, basic("engineer", PASSWORDS["pythonista"])))


# Purge


def sweep(app):
    """Return the number of sessions that a purge removes."""
    with app.app_context():
        result = schedule.periodic_tasks()["auth.purge"].run() or "0 sessions"
    return int(result.removesuffix(" sessions"))


def ids(app):
    with app.app_context(), unit_of_work(writes=False):
        return set(sql.session.scalars(sql.select(Session.id)))


def age(app, ids, **by):
    """Make these sessions expire earlier."""
    with app.app_context(), unit_of_work():
        these = sql.update(Session).where(Session.id.in_(ids))
        sql.session.execute(these.values(expires_at=now() - timedelta(**by)))


def test_sessions_that_have_expired_are_removed(app, gardener, stranger, monkeypatch):
    monkeypatch.setattr(batches, "DELETE_BATCH_ROWS", 2)
    expired = [sign_in(stranger).json for _ in range(5)] and ids(app)
    pair = sign_in(stranger).json
    assert sweep(app) == 0
    age(app, expired, seconds=1)
    age(app, living := ids(app) - expired, seconds=-60)
    assert sweep(app) == 5
    assert ids(app) == living
    assert sweep(app) == 0
    assert refresh(stranger, pair["refresh_token"]).status_code == 200


def test_sessions_ended_by_their_account_are_removed(app, admin, gardener, stranger):
    ask(stranger, TOKEN, RIGHT)
    others = ids(app)
    sign_in(stranger)
    id = gardener.get(ACCOUNT).json["id"]
    admin.patch(f"{USERS}{id}", json={"role": "manager"})
    assert sweep(app) == 0, "a new role does not end the session"
    admin.patch(f"{USERS}{id}", json={"status": "blocked"})
    assert sweep(app) == 1
    assert ids(app) == others


def test_a_purge_finds_ended_sessions_of_recently_changed_accounts(
    app, admin, gardener
):
    sign_in(gardener)
    id = gardener.get(ACCOUNT).json["id"]
    admin.delete(f"{USERS}{id}")
    with app.app_context(), unit_of_work():
        long_ago = {"updated_at": now() - timedelta(days=2)}
        sql.session.execute(sql.update(User).where(User.id == id).values(long_ago))
    assert sweep(app) == 0, "the purge skips accounts that changed long ago"
    age(app, ids(app), seconds=1)
    assert sweep(app) == 1


def test_two_concurrent_purges_remove_each_session_once(live_app, monkeypatch):
    monkeypatch.setattr(batches, "DELETE_BATCH_ROWS", 2)
    client = live_app.test_client()
    for _ in range(9):
        ask(client, TOKEN, RIGHT)
    age(live_app, ids(live_app), seconds=1)
    client.get(TOKEN, headers={"Authorization": basic("engineer", "Muh5devices")})
    assert sum(at_once(*[partial(sweep, live_app)] * 3)) == 9
    assert len(ids(live_app)) == 1
