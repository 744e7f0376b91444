"""Authentication with tokens and passwords: validity, cost, and when access ends."""

import time
from base64 import urlsafe_b64encode

import orjson
import pytest
from argon2 import PasswordHasher, extract_parameters
from joserfc import jwt
from joserfc.jwk import OctKey

from conftest import (
    LAMP,
    SHARED_PASSWORD,
    basic,
    record_statements,
    signed_in_client,
)
from myapp.core.data.models.columns import now
from myapp.core.data.session import sql, unit_of_work
from myapp.core.security import authentication, passwords
from myapp.core.security.tokens import ACCESS_TOKEN_TYPE, REFRESH_TOKEN_TYPE
from myapp.users.models import User
from support.accounts import (
    ACCOUNT,
    NEW_PASSWORD,
    SESSIONS,
    USERS,
    bearer,
    refresh,
    refusal,
    sign_in,
    url_of,
)
from support.concurrency import at_once
from support.discovery import API

REFRESHING = f"{API}/auth/refresh"


def read_sessions(client, token):
    """Return the response to a request with this token."""
    return client.get(SESSIONS, headers=bearer(token))


def part(data):
    """Return data as a part of a JWT."""
    data = data if isinstance(data, bytes) else orjson.dumps(data)
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture
def token(pair):
    return pair["access_token"]


@pytest.fixture
def forge(app, token):
    """Return a function that signs the token again with changes; None removes a claim."""
    ours = app.config["JWT_SECRET_KEY"]
    true = jwt.decode(token, OctKey.import_key(ours))

    def forge(secret=ours, header=(), **claims):
        header = {**true.header, **dict(header)}
        header = {k: v for k, v in header.items() if v is not None}
        claims = {**true.claims, **claims}
        claims = {k: v for k, v in claims.items() if v is not None}
        key = OctKey.import_key(secret)
        return jwt.encode(header, claims, key, algorithms=[header["alg"]])

    return forge


@pytest.fixture
def assert_token_refused(stranger):
    """Return a function that asserts that tokens are refused like missing ones."""

    def assert_refused(*tokens):
        reading, refreshing = stranger.get(SESSIONS), stranger.post(REFRESHING)
        for token in tokens:
            assert refusal(read_sessions(stranger, token)) == refusal(reading)
            assert refusal(refresh(stranger, token)) == refusal(refreshing)

    return assert_refused


@pytest.fixture
def clock(monkeypatch):
    """Stop the clock of the caches; return a function that moves it forward."""
    reading = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: reading[0])

    def forward(seconds):
        reading[0] += seconds

    return forward


@pytest.fixture
def statements(app):
    """Yield a list of the statements that the database receives from now on."""
    with record_statements(app) as seen:
        yield seen


# Invalid tokens


HEADERS = [
    [],
    "HS256",
    None,
    {"alg": ["HS256"]},
    {"alg": "HS256", "kid": [1]},
    {"alg": "HS256", "crit": 5},
    {"alg": "HS256", "b64": False, "crit": ["b64"]},
    b"1" * 5000,
]
MALFORMED = [f"{part(header)}.{part({})}.x" for header in HEADERS]
MALFORMED += [
    "....",
    "null",
    "a=b",
    "a\0b.c.d",
    '{"payload":"a"}',
    f"{'A' * 50_000}..x",
]
MALFORMED += [f"{part({'alg': 'dir', 'enc': 'A128GCM'})}....x"]


@pytest.mark.parametrize("token", MALFORMED, ids=lambda token: ascii(token[:30]))
def test_malformed_tokens_are_refused(assert_token_refused, token):
    assert_token_refused(token)


def test_a_token_that_was_changed_or_cut_off_is_refused(
    stranger, assert_token_refused, token, forge
):
    header, _, signature = parts = token.split(".")
    for number, text in enumerate(parts):
        middle = len(text) // 2
        swapped = "A" if text[middle] != "A" else "B"
        changed = f"{text[:middle]}{swapped}{text[middle + 1 :]}"
        assert_token_refused(".".join([*parts[:number], changed, *parts[number + 1 :]]))
    for payload in (forge(exp=2**40).split(".")[1], part({"sid": 1})):
        assert_token_refused(f"{header}.{payload}.{signature}")
    lengths = (len(token) - 1, token.rindex("."), token.index(".") + 1, 10)
    assert_token_refused(f"{token}A", *(token[:length] for length in lengths))
    assert read_sessions(stranger, token).status_code == 200


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS256"])
def test_an_unsigned_token_is_refused(assert_token_refused, token, algorithm):
    payload, signature = token.split(".")[1:]
    for kind in (ACCESS_TOKEN_TYPE, REFRESH_TOKEN_TYPE):
        header = part({"alg": algorithm, "typ": kind})
        assert_token_refused(f"{header}.{payload}.", f"{header}.{payload}")
        if algorithm != "HS256":
            assert_token_refused(f"{header}.{payload}.{signature}")


OTHER_KEYS = ["another key, as long as ours is and longer", "x" * 64]
FORGERIES = [{"secret": key} for key in OTHER_KEYS]
FORGERIES += [{"secret": key, "header": {"kid": None}} for key in OTHER_KEYS]
FORGERIES += [{"header": {"alg": algorithm}} for algorithm in ("HS384", "HS512")]


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_token_of_another_key_or_algorithm_is_refused(
    assert_token_refused, forge, forgery
):
    assert_token_refused(forge(**forgery))


@pytest.mark.parametrize("kind", [None, "JWT", "at", "jwt+at", REFRESH_TOKEN_TYPE, ""])
def test_a_token_of_another_type_is_refused(stranger, forge, kind):
    answer = read_sessions(stranger, forge(header={"typ": kind}))
    assert refusal(answer) == refusal(stranger.get(SESSIONS))


@pytest.mark.parametrize("kind", [ACCESS_TOKEN_TYPE, REFRESH_TOKEN_TYPE])
@pytest.mark.parametrize(
    "claim, value",
    [(claim, None) for claim in ("iss", "aud", "sub", "sid", "iat", "exp")]
    + [("exp", value) for value in (0, -1, "tomorrow", [2**40])]
    + [("iss", value) for value in ("another", "", ["myapp"])]
    + [("aud", value) for value in ("refresh", "", [], ["refresh"])]
    + [("sid", value) for value in ("1", 1.0, True, [1], {}, "", 0, -1, 2**62)]
    + [("iat", 2**40), ("nbf", 2**40), ("nbf", "now")],
    ids=ascii,
)
def test_a_token_with_missing_or_wrong_claims_is_refused(
    assert_token_refused, forge, kind, claim, value
):
    assert_token_refused(forge(header={"typ": kind}, serial=1, **{claim: value}))


def test_an_expired_token_is_refused(stranger, assert_token_refused, forge):
    moment = int(time.time())
    assert_token_refused(forge(iat=moment - 60, nbf=moment - 60, exp=moment - 1))
    fresh = forge(iat=moment - 60, nbf=moment - 60, exp=moment + 60)
    assert read_sessions(stranger, fresh).status_code == 200


def test_a_cached_token_expires(stranger, token, monkeypatch):
    began = time.time()
    for seconds, status in ((0, 200), (15 * 60 - 10, 200), (15 * 60 + 1, 401)):
        monkeypatch.setattr(time, "time", lambda: began + seconds)
        assert read_sessions(stranger, token).status_code == status


# New keys


@pytest.fixture
def restart(app, monkeypatch):
    """Return a function that restarts the authentication with other settings."""

    def restart(**settings):
        before = app.extensions["authenticator"]
        app.config.update(settings)
        after = authentication.Authenticator(
            app, *before.lookups.values(), before.save_rehashed
        )
        monkeypatch.setitem(app.extensions, "authenticator", after)

    return restart


def test_tokens_of_a_former_key_stay_valid_until_they_expire(
    app, stranger, assert_token_refused, pair, restart
):
    former = app.config["JWT_SECRET_KEY"]
    restart(JWT_SECRET_KEY="n" * 32, JWT_FORMER_SECRET_KEYS=["m" * 32, former])
    assert read_sessions(stranger, pair["access_token"]).status_code == 200
    renewed = refresh(stranger, pair["refresh_token"]).json
    # New tokens are signed with the new key, and do not need the former one.
    restart(JWT_FORMER_SECRET_KEYS=[])
    assert read_sessions(stranger, renewed["access_token"]).status_code == 200
    assert_token_refused(pair["access_token"])


@pytest.mark.parametrize(
    "settings", [{"JWT_SECRET_KEY": "n" * 32}, {"JWT_ISSUER": "another-registry"}]
)
def test_tokens_of_a_removed_key_or_of_another_deployment_are_refused(
    stranger, assert_token_refused, pair, restart, settings
):
    restart(**settings)
    assert_token_refused(pair["access_token"], pair["refresh_token"])
    assert sign_in(stranger).status_code == 200


# Cost


@pytest.mark.parametrize("way", ["Basic", "Bearer"])
@pytest.mark.parametrize("address", [ACCOUNT, "a gadget"])
def test_authentication_costs_no_hash_and_no_query_within_a_second(
    gardener, token, way, address, clock, verified_hashes, statements
):
    if address != ACCOUNT:
        address = gardener.post(f"{API}/sample_gadgets/", json=LAMP).json["url"]
    headers = bearer(token) if way == "Bearer" else {}

    def cost():
        del statements[:]
        assert gardener.get(address, headers=headers).status_code == 200
        return len(statements)

    cost()
    del verified_hashes[:]
    assert cost() == 1  # the statement of the endpoint
    clock(1)
    assert cost() == 2  # after a second the account is read again
    assert cost() == 1
    assert verified_hashes == []


def test_a_password_is_hashed_again_after_five_minutes(
    app, gardener, clock, verified_hashes
):
    app.extensions["authenticator"].passwords.clear()
    counts = []
    for seconds in (0, 299, 2):
        clock(seconds)
        assert gardener.get(ACCOUNT).status_code == 200
        counts.append(len(verified_hashes))
    assert counts == [1, 1, 2]


# Changes of accounts


CONFIRMED = {"password": NEW_PASSWORD, "current_password": SHARED_PASSWORD}
BLOCKED = {"status": "blocked"}


@pytest.mark.parametrize(
    "who, verb, body",
    [
        ("gardener", "PATCH", CONFIRMED),
        ("gardener", "DELETE", None),
        ("admin", "PATCH", {"password": NEW_PASSWORD}),
        ("admin", "PATCH", BLOCKED),
        ("admin", "DELETE", None),
    ],
)
def test_a_new_password_a_block_and_a_deletion_end_all_sessions(
    request, gardener, stranger, assert_token_refused, pair, who, verb, body
):
    url = ACCOUNT if who == "gardener" else url_of(gardener)
    assert read_sessions(stranger, pair["access_token"]).status_code == 200
    ended = request.getfixturevalue(who).open(url, method=verb, json=body)
    assert ended.status_code in (200, 204)
    assert_token_refused(pair["access_token"], pair["refresh_token"])
    refusal(gardener.get(SESSIONS))
    refusal(sign_in(stranger))


def test_changes_reach_every_process_within_a_second_without_redis(
    live_app, make_app, empty_uri
):
    names = ("renamed", "password", "blocked", "deleted", "demoted", "left")
    settings = {"SQLALCHEMY_DATABASE_URI": empty_uri, "REDIS_URL": "unix:///nowhere"}
    here, there = make_app(**settings), make_app(**settings)
    admin, stranger = signed_in_client(here, "chief", "admin"), there.test_client()
    clients, tokens, basics = {}, {}, {}
    for name in names:
        role = "admin" if name == "demoted" else "user"
        clients[name] = signed_in_client(here, name, role)
        tokens[name] = bearer(sign_in(clients[name], name).json["access_token"])
        basics[name] = {"Authorization": basic(name, SHARED_PASSWORD)}
    urls = {name: url_of(clients[name]) for name in names}

    def statuses(headers, address=ACCOUNT):
        return {
            name: stranger.get(address, headers=headers[name]).status_code
            for name in names
        }

    before = dict.fromkeys(names, 200)
    assert statuses(tokens) == statuses(basics) == before
    assert stranger.get(USERS, headers=tokens["demoted"]).status_code == 200
    responses = [
        admin.patch(urls["renamed"], json={"username": "other"}),
        clients["password"].patch(ACCOUNT, json=CONFIRMED),
        admin.patch(urls["blocked"], json=BLOCKED),
        admin.patch(urls["demoted"], json={"role": "user"}),
        admin.delete(urls["deleted"]),
        here.test_client().post(f"{API}/auth/logout", headers=tokens["left"]),
    ]
    assert [each.status_code for each in responses] == [200] * 4 + [204] * 2
    time.sleep(1.05)
    gone = {"password": 401, "blocked": 401, "deleted": 401}
    assert statuses(tokens) == {**before, **gone, "left": 401}
    assert statuses(basics) == {**before, **gone, "renamed": 401}
    assert stranger.get(USERS, headers=tokens["demoted"]).status_code == 403


def test_of_two_concurrent_refreshes_one_succeeds_and_the_session_ends(live_app):
    gardener = signed_in_client(live_app, "gardener")
    pair = sign_in(gardener).json

    def renew():
        return refresh(live_app.test_client(), pair["refresh_token"]).status_code

    assert sorted(at_once(renew, renew)) == [200, 401]
    assert gardener.get(SESSIONS).json["items"] == []


# Hashes of older parameters

WEAK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def change_veteran(app, **values):
    """Change the account as another process does."""
    with app.app_context(), unit_of_work():
        veteran = sql.update(User).where(User.name_key == "veteran")
        sql.session.execute(veteran.values(**values))


@pytest.fixture
def veteran(app):
    """Return a client of an account whose password hash has weak parameters."""
    client, long_ago = signed_in_client(app, "veteran"), now().replace(year=2020)
    times = {"created_at": long_ago, "updated_at": long_ago}
    change_veteran(app, password_hash=WEAK.hash(SHARED_PASSWORD), **times)
    return client


def test_a_hash_of_older_parameters_is_renewed_without_a_visible_change(
    admin, veteran, verified_hashes
):
    (listed,) = admin.get(f"{USERS}?username=veteran").json["items"]
    before = admin.get(listed["url"])
    del verified_hashes[:]
    for _ in range(3):
        assert veteran.get(ACCOUNT).status_code == 200
    # then the password is cached
    weak, strong = map(extract_parameters, verified_hashes)
    assert weak == extract_parameters(WEAK.hash(""))
    assert strong == extract_parameters(passwords.hasher.hash(""))
    after = admin.get(listed["url"])
    assert after.headers["ETag"] == before.headers["ETag"]
    assert after.json == before.json


def test_a_wrong_password_renews_no_hash(app, veteran, verified_hashes):
    values = {"Authorization": basic("veteran", "a wrong password")}
    for _ in range(2):
        refusal(veteran.get(ACCOUNT, headers=values))
    assert verified_hashes[0] == verified_hashes[1]


def test_a_renewed_hash_does_not_bring_an_old_password_back(app, veteran, clock):
    values = {"Authorization": basic("veteran", "a wrong password")}
    new = {"Authorization": basic("veteran", NEW_PASSWORD)}
    refusal(veteran.get(ACCOUNT, headers=values))  # now the account is cached
    change_veteran(app, password_hash=WEAK.hash(NEW_PASSWORD))
    assert veteran.get(ACCOUNT).status_code == 200  # within the second
    clock(1)
    refusal(veteran.get(ACCOUNT))
    assert veteran.get(ACCOUNT, headers=new).status_code == 200
