import unicodedata

import pytest
from argon2 import extract_parameters
from joserfc import jwt
from joserfc.jwk import OctKey

from conftest import PASSWORDS, SHARED_PASSWORD, basic, signed_in_client
from myapp.core.data import batches
from support.accounts import (
    ACCOUNT,
    HERE,
    SESSIONS,
    USERS,
    bearer,
    pointers,
    purge,
    refresh,
    refusal,
    set_age,
    sign_in,
    url_of,
)
from support.assertions import assert_problem
from support.discovery import API

from ..core.data.session import sql, unit_of_work
from ..users.models import User
from .models import Session

REGISTER = f"{API}/auth/register"
LOGIN = f"{API}/auth/login"
TOKEN = f"{API}/auth/request-token"
LOGOUT = f"{API}/auth/logout"
RIGHT = basic("pythonista", PASSWORDS["pythonista"])
NEVER_STORED = "no-cache, no-store, max-age=0"
ELSEWHERE = "198.51.100.1"
GARDENER = {"username": "Gardener", "password": "green fingers"}


def ask(client, address, authorization):
    headers = {"Authorization": authorization} if authorization is not None else {}
    return client.get(address, headers=headers)


def access(client, pair):
    """Return the status of a request with the access token of a pair."""
    return client.get(ACCOUNT, headers=bearer(pair["access_token"])).status_code


def session_ids(app):
    with app.app_context(), unit_of_work(writes=False):
        return set(sql.session.scalars(sql.select(Session.id)))


@pytest.fixture
def registered_client(stranger):
    """Return a client without credentials, after the sign-up of Gardener."""
    assert stranger.post(REGISTER, json=GARDENER).status_code == 201
    return stranger


# Sign-up


def test_a_new_account_can_sign_in_and_its_name_is_taken(stranger):
    refusal(sign_in(stranger, **GARDENER))  # now it is cached that there is none
    response = stranger.post(REGISTER, json=GARDENER)
    assert response.status_code == 201
    assert response.json["url"] == f"http://localhost{USERS}{response.json['id']}"
    assert response.json["username"] == "Gardener"
    assert (response.json["role"], response.json["status"]) == ("user", "normal")
    assert response.json["last_login_at"] is None
    assert not [word for word in ("password", "$argon2") if word in response.text]
    assert sign_in(stranger, **GARDENER).status_code == 200
    for name in ("Gardener", "gardener", "gARDENEr"):
        body = {"username": name, "password": "12345678"}
        assert_problem(stranger.post(REGISTER, json=body), 409)


@pytest.mark.parametrize("name", ["a b", "gärtner", "gardener\n"])
def test_a_name_has_only_plain_characters_and_a_sign_up_no_role(stranger, name):
    body = {**GARDENER, "username": name, "role": "admin", "status": "normal"}
    refused = stranger.post(REGISTER, json=body)
    assert pointers(refused) == ["/role", "/status", "/username"]


# Sign-in


@pytest.mark.parametrize("tokens_only", [False, True])
def test_signing_in_gets_tokens_and_is_stored_on_the_account(
    app, gardener, stranger, tokens_only
):
    before = gardener.get(ACCOUNT).json
    assert before["last_login_at"] is None
    app.config["USE_TOKEN_AUTH"] = tokens_only
    answer = sign_in(stranger, address=ELSEWHERE)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == NEVER_STORED
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 900)
    account = ask(stranger, ACCOUNT, f"Bearer {answer.json['access_token']}").json
    assert account["username"] == "gardener"
    assert account["last_login_at"] >= account["created_at"]
    assert account["last_login_ip"] == ELSEWHERE


# With a Kelvin sign, a dotless i, a dotted I, a long s, a Cyrillic o, a fullwidth k, a
# combining accent, a space of no width, and a blank.
LOOK_ALIKES = (
    "\u212aiosk k\u0131osk K\u0130OSK kio\u017fk ki\u043esk \uff4biosk".split()
)
LOOK_ALIKES += ["kiosk\u0301", "kiosk\u200b", "kiosk "]


@pytest.mark.parametrize("name", LOOK_ALIKES, ids=ascii)
def test_a_username_signs_in_in_any_case_but_not_if_it_only_looks_alike(
    app, stranger, name
):
    signed_in_client(app, "kiosk")
    assert sign_in(stranger, "KIOSK").status_code == 200
    right = basic("kIOSk", SHARED_PASSWORD)
    assert ask(stranger, SESSIONS, right).status_code == 200
    unknown = refusal(sign_in(stranger, "unknown"))
    assert refusal(sign_in(stranger, name)) == unknown
    assert refusal(ask(stranger, TOKEN, basic(name, SHARED_PASSWORD))) == unknown


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_password_is_equal_in_each_unicode_normalization(stranger, forms):
    first, second = (unicodedata.normalize(form, "crème brûlée") for form in forms)
    assert first != second
    stranger.post(REGISTER, json={**GARDENER, "password": first})
    for password in (second, first):
        assert sign_in(stranger, "gardener", password).status_code == 200
    refusal(sign_in(stranger, "gardener", "creme brulee"))


def test_each_failed_sign_in_has_the_same_answer_and_the_same_work(
    app, admin, stranger, verified_hashes
):
    blocked, deleted = (
        url_of(signed_in_client(app, name)) for name in ("blocked", "deleted")
    )
    assert admin.patch(blocked, json={"status": "blocked"}).status_code == 200
    assert admin.delete(deleted).status_code == 204
    verified_hashes.clear()
    names = ("pythonista", "unknown", "blocked", "deleted")
    answers = [refusal(sign_in(stranger, name)) for name in names]
    assert answers == [answers[0]] * 4
    work = [extract_parameters(hash) for hash in verified_hashes]
    assert work == [work[0]] * 4


# Wrong credentials

NAME, PASSWORD = "pythonista", PASSWORDS["pythonista"]


@pytest.mark.parametrize(
    "authorization",
    [
        basic(NAME, "wrong password"),
        basic("unknown", PASSWORD),
        basic(NAME, PASSWORD.swapcase()),
        basic(NAME, f"{PASSWORD} "),
        basic(NAME, PASSWORDS["engineer"]),
        basic(f"{NAME} ", PASSWORD),
        basic("%", PASSWORD),
        basic("py\0thonista", PASSWORD),
        basic("ü" * 1000, "ß"),
        RIGHT.replace("Basic", "Bearer"),
        f"Digest username={NAME}",
        "Basic !!!",
        "Bearer",
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


# Login throttle

WAYS = (LOGIN, SESSIONS, TOKEN)


def attempt(client, password, username="gardener", address=HERE, way=LOGIN):
    """Return the response to a login, or to a request with HTTP Basic."""
    if way == LOGIN:
        return sign_in(client, username, password, address)
    headers = {"Authorization": basic(username, password)}
    environ = {"REMOTE_ADDR": address}
    return client.get(way, headers=headers, environ_overrides=environ)


def guess(client, *args, **kwargs):
    """Send a wrong password, and return the status."""
    return attempt(client, "a wrong password", *args, **kwargs).status_code


def assert_slowed_down(response, longest):
    """Assert that a response is a 429 with a Retry-After of at most `longest` seconds."""
    assert_problem(response, 429)
    assert 1 <= int(response.headers["Retry-After"]) <= longest


@pytest.mark.parametrize("ways", [*((way,) * 5 for way in WAYS), WAYS + WAYS[:2]])
@pytest.mark.parametrize("name", ["gardener", "GARDENER", "unknown"])
def test_after_five_failures_sign_in_is_throttled(
    registered_client, verified_hashes, name, ways
):
    assert [guess(registered_client, name, way=way) for way in ways] == [401] * 5
    verified_hashes.clear()
    assert [guess(registered_client, name, way=way) for way in WAYS] == [429] * 3
    assert_slowed_down(sign_in(registered_client, name, GARDENER["password"]), 60)
    assert verified_hashes == []


def test_neither_successes_nor_failures_of_others_count(registered_client):
    other = {"username": "neighbour", "password": "next door"}
    registered_client.post(REGISTER, json=other)
    assert [guess(registered_client) for _ in range(4)] == [401] * 4
    for _ in range(3):
        assert sign_in(registered_client, **GARDENER).status_code == 200
    assert [guess(registered_client) for _ in range(2)] == [401, 429]
    assert sign_in(registered_client, **other).status_code == 200
    assert sign_in(registered_client, **GARDENER, address=ELSEWHERE).status_code == 200


def test_an_address_is_throttled_after_thirty_failures_of_any_accounts(
    registered_client,
):
    assert {guess(registered_client, f"name-{n}") for n in range(30)} == {401}
    assert_slowed_down(sign_in(registered_client, **GARDENER), 60)
    assert sign_in(registered_client, **GARDENER, address=ELSEWHERE).status_code == 200


def test_an_ipv6_network_counts_as_one_address(registered_client):
    for n in range(5):
        assert guess(registered_client, address=f"2001:db8:0:1::{n}") == 401
    assert guess(registered_client, address="2001:db8:0:1:ffff::1") == 429
    assert guess(registered_client, address="2001:db8:0:2::1") == 401


@pytest.mark.parametrize("way", WAYS)
def test_failures_from_many_addresses_do_not_lock_out_a_known_address(
    app, registered_client, way
):
    def come_in(address):
        # right passwords are not cached
        app.extensions["authenticator"].passwords.clear()
        return attempt(
            registered_client, GARDENER["password"], address=address, way=way
        )

    assert come_in(HERE).status_code == 200
    for n in range(20):
        assert guess(registered_client, address=f"203.0.113.{n}") == 401
    assert_slowed_down(come_in(ELSEWHERE), 10 * 60)
    assert come_in(HERE).status_code == 200
    assert [guess(registered_client) for _ in range(6)] == [401] * 5 + [429]


def test_failures_count_without_redis(make_app, tmp_path):
    stranger = make_app(REDIS_URL=f"unix://{tmp_path}/missing.sock").test_client()
    assert [guess(stranger, "unknown") for _ in range(5)] == [401] * 5
    assert_slowed_down(sign_in(stranger, "unknown"), 60)
    assert guess(stranger, "member") == 401
    assert guess(stranger, "unknown", address=ELSEWHERE) == 401


# Refresh and sign-out


def test_a_refresh_token_gets_the_next_pair_of_the_same_session(app, stranger, pair):
    ids = session_ids(app)
    first = refresh(stranger, pair["refresh_token"])
    assert first.status_code == 200
    assert first.headers["Cache-Control"] == NEVER_STORED
    tokens = {first.json["access_token"], first.json["refresh_token"]}
    assert not tokens & set(map(str, pair.values()))
    second = refresh(stranger, first.json["refresh_token"]).json
    assert access(stranger, second) == 200
    assert session_ids(app) == ids


def test_a_reused_refresh_token_ends_only_its_session(gardener, stranger, pair):
    other = sign_in(stranger).json
    stolen = refresh(stranger, pair["refresh_token"]).json
    refusal(refresh(stranger, pair["refresh_token"]))
    assert access(stranger, pair) == access(stranger, stolen) == 401
    refusal(refresh(stranger, stolen["refresh_token"]))
    # This was committed despite the 401.
    assert gardener.get(SESSIONS).json["meta"]["total"] == 1
    assert access(stranger, other) == 200


def test_signing_out_ends_only_the_session_of_the_token(gardener, stranger, pair):
    other = sign_in(stranger).json
    assert gardener.post(LOGOUT).status_code == 204  # with a password
    assert access(stranger, pair) == 200
    out = stranger.post(LOGOUT, headers=bearer(pair["access_token"]))
    assert (out.status_code, out.data) == (204, b"")
    assert access(stranger, pair) == 401
    refusal(refresh(stranger, pair["refresh_token"]))
    assert access(stranger, other) == 200
    assert refresh(stranger, other["refresh_token"]).status_code == 200


# Sessions of the caller


def test_a_session_shows_its_client_and_whether_it_is_the_current_one(
    app, gardener, session_client
):
    phone = app.test_client()
    phone.environ_base["HTTP_USER_AGENT"] = "Phone/1.0 " + "x" * 300
    headers = bearer(sign_in(phone, address=ELSEWHERE).json["access_token"])
    first, second = session_client.get(SESSIONS).json["items"]
    assert (first["address"], second["address"]) == (HERE, ELSEWHERE)
    assert second["agent"] == ("Phone/1.0 " + "x" * 300)[:200]
    assert (first["current"], second["current"]) == (True, False)
    theirs = phone.get(SESSIONS, headers=headers).json["items"]
    assert [session["current"] for session in theirs] == [False, True]
    assert session_client.get(second["url"]).json == second
    with_password = gardener.get(SESSIONS).json["items"]
    assert [session["current"] for session in with_password] == [False, False]


def test_a_session_can_be_ended_from_another(stranger, session_client):
    pair = sign_in(stranger).json
    url = session_client.get(SESSIONS).json["items"][1]["url"]
    assert access(stranger, pair) == 200
    assert session_client.delete(url).status_code == 204
    assert access(stranger, pair) == 401
    refusal(refresh(stranger, pair["refresh_token"]))
    assert_problem(session_client.get(url), 404)
    assert_problem(session_client.delete(url), 404)
    assert session_client.get(SESSIONS).json["meta"]["total"] == 1


# Request a token


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_name_and_a_password_get_a_token_of_only_account_and_times(
    app, stranger, scheme
):
    app.config["JWT_TTL"] = 2
    answer = ask(stranger, TOKEN, RIGHT)
    assert answer.headers["Cache-Control"] == NEVER_STORED
    key = OctKey.import_key(app.config["JWT_SECRET_KEY"])
    token = jwt.decode(answer.json["token"], key)
    claims = token.claims
    assert token.header.keys() == {"alg", "typ", "kid"}
    assert claims.keys() == {"iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp"}
    assert answer.json["expires_in"] == claims["exp"] - claims["iat"] == 120
    me = ask(stranger, ACCOUNT, f"{scheme} {answer.json['token']}").json
    assert (me["username"], claims["sub"]) == ("pythonista", str(me["id"]))
    (session,) = ask(stranger, SESSIONS, RIGHT).json["items"]
    assert claims["sid"] == session["id"]


# Purge


def expire(app, ids, **ago):
    set_age(app, Session.expires_at, Session.id.in_(ids), **ago)


def test_sessions_that_have_expired_are_removed(app, gardener, stranger, monkeypatch):
    monkeypatch.setattr(batches, "DELETE_BATCH_ROWS", 2)
    for _ in range(5):
        sign_in(stranger)
    expired = session_ids(app)
    pair = sign_in(stranger).json
    living = session_ids(app) - expired
    assert purge(app, "auth") == "0"
    expire(app, expired, seconds=1)
    expire(app, living, seconds=-60)
    assert purge(app, "auth") == "5 sessions"
    assert session_ids(app) == living
    assert purge(app, "auth") == "0"
    assert refresh(stranger, pair["refresh_token"]).status_code == 200


def test_sessions_ended_by_a_recently_changed_account_are_removed(
    app, admin, gardener, stranger
):
    ask(stranger, TOKEN, RIGHT)
    others = session_ids(app)
    sign_in(stranger)
    url = url_of(gardener)
    admin.patch(url, json={"role": "manager"})
    assert purge(app, "auth") == "0", "a new role does not end the session"
    admin.patch(url, json={"status": "blocked"})
    set_age(app, User.updated_at, User.name_key == "gardener", days=2)
    assert purge(app, "auth") == "0", "the purge skips accounts that changed long ago"
    set_age(app, User.updated_at, User.name_key == "gardener", days=0.9)
    assert purge(app, "auth") == "1 sessions"
    assert session_ids(app) == others
