"""Authentication with tokens and passwords: validity, cost, and when access ends."""

import time
from base64 import urlsafe_b64encode
from contextlib import contextmanager

import orjson
import pytest
from argon2 import PasswordHasher, extract_parameters
from flask_migrate import upgrade
from joserfc import jwt
from joserfc.jwk import OctKey

from conftest import (
    CHEAP_PARAMETERS,
    LAMP,
    SHARED_PASSWORD,
    basic,
    close_stores,
    record_statements,
    signed_in_client,
)
from myapp import create_app
from myapp.auth.models import Session
from myapp.core.data.models.columns import now
from myapp.core.data.redis import redis_store
from myapp.core.data.session import sql, unit_of_work
from myapp.core.security import authentication, passwords
from myapp.core.security.tokens import ACCESS_TOKEN_TYPE, REFRESH_TOKEN_TYPE
from myapp.roles.models import Role
from myapp.users.models import User
from support.assertions import assert_problem
from support.concurrency import at_once
from support.features import SERVED

LOGIN = "/api/v1/auth/login"
REFRESHING = "/api/v1/auth/refresh"
ACCOUNT = "/api/v1/account"
USERS = "/api/v1/users/"
GADGETS = "/api/v1/sample_gadgets/"
SESSIONS = "/api/v1/auth/sessions/"
NEW_PASSWORD = "another one for it"


@pytest.fixture
def uri(empty_uri):
    """Return the address of a new database with tables and roles."""
    with process_app(empty_uri) as app, app.app_context():
        upgrade()
        with unit_of_work():
            Role.ensure_builtin_roles()
    return empty_uri


@contextmanager
def process_app(uri, redis_url="unix:///nowhere"):
    """Yield an application on that database, as another process would have."""
    stores = {"SQLALCHEMY_DATABASE_URI": uri, "REDIS_URL": redis_url}
    app = create_app("testing", features=SERVED, **stores)
    try:
        yield app
    finally:
        close_stores(app)


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def sign_in(client, username="gardener", password=SHARED_PASSWORD):
    return client.post(LOGIN, json={"username": username, "password": password})


def refusal(response):
    """Return the body and the headers of a 401, without the parts that always differ."""
    problem = assert_problem(response, 401)
    headers = {k: v for k, v in response.headers if k != "X-Request-ID"}
    return {k: v for k, v in problem.items() if k != "request_id"}, headers


def part(data):
    """Return data as a part of a JWT."""
    data = data if isinstance(data, bytes) else orjson.dumps(data)
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture
def gardener(app):
    """Return a client that is signed in as gardener with HTTP Basic."""
    return signed_in_client(app, "gardener")


@pytest.fixture
def pair(gardener, stranger):
    """Return the tokens of a session of gardener."""
    return sign_in(stranger).json


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
    """Return a function that asserts that a token is refused like a missing one."""

    def assert_refused(token):
        for verb, address in (("GET", SESSIONS), ("POST", REFRESHING)):
            answer = stranger.open(address, method=verb, headers=bearer(token))
            assert refusal(answer) == refusal(stranger.open(address, method=verb))

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
def verified_hashes(monkeypatch):
    """Return a list of the hashes that passwords are verified against from now on."""
    seen = []

    class Watched(PasswordHasher):
        def verify(self, hash, password):
            seen.append(hash)
            return super().verify(hash, password)

    monkeypatch.setattr(passwords, "hasher", Watched(**CHEAP_PARAMETERS))
    return seen


@pytest.fixture
def statements(app):
    """Yield a list of the statements that the database receives from now on."""
    with record_statements(app) as seen:
        yield seen


# Invalid tokens


def test_a_token_that_is_signed_by_us_works(stranger, forge):
    assert stranger.get(SESSIONS, headers=bearer(forge())).status_code == 200


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a.b.c",
        "a.b.c.d.e",
        "..",
        "....",
        "null",
        "é.é.é",
        "a=b",
        "a\0b.c.d",
        '{"payload":"a"}',
        f"{part([])}.{part({})}.x",
        f"{part('HS256')}.{part({})}.x",
        f"{part(None)}.{part(None)}.x",
        f"{part({'alg': ['HS256']})}.{part({})}.x",
        f"{part({'alg': 'HS256', 'kid': [1]})}.{part({})}.x",
        f"{part({'alg': 'HS256', 'crit': 5})}.{part({})}.x",
        f"{part({'alg': 'HS256', 'b64': False, 'crit': ['b64']})}.{part({})}.x",
        f"{part(b'[' * 5000)}.{part({})}.x",
        f"{part(b'1' * 5000)}.{part({})}.x",
        f"{part({'alg': 'dir', 'enc': 'A128GCM'})}....x",
        "A" * 100_000,
        f"{'A' * 50_000}.{'A' * 50_000}.x",
    ],
    ids=lambda token: ascii(token[:30]),
)
def test_malformed_tokens_are_refused(assert_token_refused, token):
    assert_token_refused(token)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_token_that_was_tampered_with_is_refused(
    stranger, assert_token_refused, token, number
):
    parts = token.split(".")
    middle = len(parts[number]) // 2
    swapped = "A" if parts[number][middle] != "A" else "B"
    parts[number] = parts[number][:middle] + swapped + parts[number][middle + 1 :]
    assert stranger.get(SESSIONS, headers=bearer(token)).status_code == 200
    assert_token_refused(".".join(parts))


def test_a_token_whose_claims_were_changed_is_refused(
    assert_token_refused, token, forge
):
    header, _, signature = token.split(".")
    for payload in (forge(exp=2**40).split(".")[1], part({"sid": 1})):
        assert_token_refused(f"{header}.{payload}.{signature}")


def test_a_token_that_was_cut_off_is_refused(assert_token_refused, token):
    for length in (len(token) - 1, token.rindex("."), token.index(".") + 1, 10):
        assert_token_refused(token[:length])
    assert_token_refused(token + "A")


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS256"])
def test_an_unsigned_token_is_refused(assert_token_refused, token, algorithm):
    payload, signature = token.split(".")[1:]
    for kind in (ACCESS_TOKEN_TYPE, REFRESH_TOKEN_TYPE):
        header = part({"alg": algorithm, "typ": kind})
        assert_token_refused(f"{header}.{payload}.")
        assert_token_refused(f"{header}.{payload}")
        if algorithm != "HS256":
            assert_token_refused(f"{header}.{payload}.{signature}")


@pytest.mark.parametrize("kid", ["as it was", None])
def test_a_token_signed_with_another_key_is_refused(assert_token_refused, forge, kid):
    header = {} if kid else {"kid": None}
    for secret in ("another key, as long as ours is and longer", "x" * 64):
        assert_token_refused(forge(secret, header))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_a_token_of_another_algorithm_is_refused(
    assert_token_refused, forge, algorithm
):
    assert_token_refused(forge(header={"alg": algorithm}))


@pytest.mark.parametrize("kind", [None, "JWT", "at", "jwt+at", REFRESH_TOKEN_TYPE, ""])
def test_a_token_of_another_type_is_refused(stranger, forge, kind):
    answer = stranger.get(SESSIONS, headers=bearer(forge(header={"typ": kind})))
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
    assert stranger.get(SESSIONS, headers=bearer(fresh)).status_code == 200


def test_a_cached_token_expires(stranger, token, monkeypatch):
    began = time.time()
    later = [15 * 60 - 10, 15 * 60 + 1]
    assert stranger.get(SESSIONS, headers=bearer(token)).status_code == 200
    monkeypatch.setattr(time, "time", lambda: began + later[0])
    assert stranger.get(SESSIONS, headers=bearer(token)).status_code == 200
    monkeypatch.setattr(time, "time", lambda: began + later[1])
    refusal(stranger.get(SESSIONS, headers=bearer(token)))


def test_the_tokens_of_an_expired_session_are_refused(
    app, stranger, assert_token_refused, pair, clock
):
    assert (
        stranger.get(SESSIONS, headers=bearer(pair["access_token"])).status_code == 200
    )
    with app.app_context(), unit_of_work():
        sql.session.execute(sql.update(Session).values(expires_at=now()))
    clock(1)
    assert_token_refused(pair["access_token"])
    assert_token_refused(pair["refresh_token"])


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
    access, first = bearer(pair["access_token"]), bearer(pair["refresh_token"])
    assert stranger.get(SESSIONS, headers=access).status_code == 200
    renewed = stranger.post(REFRESHING, headers=first).json
    # New tokens are signed with the new key, and do not need the former one.
    restart(JWT_FORMER_SECRET_KEYS=[])
    fresh = bearer(renewed["access_token"])
    assert stranger.get(SESSIONS, headers=fresh).status_code == 200
    assert_token_refused(pair["access_token"])


def test_tokens_of_a_removed_key_are_refused(
    stranger, assert_token_refused, pair, restart
):
    restart(JWT_SECRET_KEY="n" * 32)
    assert_token_refused(pair["access_token"])
    assert_token_refused(pair["refresh_token"])
    assert sign_in(stranger).status_code == 200


def test_tokens_of_another_deployment_are_refused(assert_token_refused, pair, restart):
    restart(JWT_ISSUER="another-registry")
    assert_token_refused(pair["access_token"])
    assert_token_refused(pair["refresh_token"])


# Cost


@pytest.mark.parametrize("way", ["Basic", "Bearer"])
@pytest.mark.parametrize("address", [ACCOUNT, "a gadget"])
def test_authentication_costs_no_hash_and_no_query_within_a_second(
    gardener, token, way, address, clock, verified_hashes, statements
):
    if address != ACCOUNT:
        address = gardener.post(GADGETS, json=LAMP).json["url"]
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


def change_password(gardener, admin, url):
    return gardener.patch(
        ACCOUNT,
        json={"password": NEW_PASSWORD, "current_password": SHARED_PASSWORD},
    )


def be_given_a_password(gardener, admin, url):
    return admin.patch(url, json={"password": NEW_PASSWORD})


def be_blocked(gardener, admin, url):
    return admin.patch(url, json={"status": "blocked"})


def be_deleted(gardener, admin, url):
    return admin.delete(url)


def delete_oneself(gardener, admin, url):
    return gardener.delete(ACCOUNT)


ENDS = (change_password, be_given_a_password, be_blocked, be_deleted, delete_oneself)


@pytest.mark.parametrize("end", ENDS)
def test_a_new_password_a_block_and_a_deletion_end_all_sessions(
    gardener, admin, stranger, assert_token_refused, pair, end
):
    url = f"{USERS}{gardener.get(ACCOUNT).json['id']}"
    assert (
        stranger.get(SESSIONS, headers=bearer(pair["access_token"])).status_code == 200
    )
    assert end(gardener, admin, url).status_code in (200, 204)
    assert_token_refused(pair["access_token"])
    assert_token_refused(pair["refresh_token"])
    refusal(gardener.get(SESSIONS))
    refusal(sign_in(stranger))


def test_sessions_from_before_a_block_stay_ended_after_it(
    gardener, admin, stranger, assert_token_refused, pair
):
    url = f"{USERS}{gardener.get(ACCOUNT).json['id']}"
    for status in ("blocked", "normal"):
        assert admin.patch(url, json={"status": status}).status_code == 200
    assert_token_refused(pair["access_token"])
    assert_token_refused(pair["refresh_token"])
    assert gardener.get("/api/v1/auth/sessions").json["items"] == []
    assert sign_in(stranger).status_code == 200


def test_another_role_takes_effect_in_existing_sessions(gardener, admin, token):
    url = f"{USERS}{gardener.get(ACCOUNT).json['id']}"
    for role, status in (("admin", 200), ("manager", 403)):
        admin.patch(url, json={"role": role})
        assert gardener.get(USERS).status_code == status
        assert gardener.get(USERS, headers=bearer(token)).status_code == status


def test_changes_reach_every_process_within_a_second_without_redis(uri):
    names = ("renamed", "password", "blocked", "deleted", "demoted", "left")
    with process_app(uri) as here, process_app(uri) as there:
        admin, stranger = signed_in_client(here, "chief", "admin"), there.test_client()
        url, basics, tokens = {}, {}, {}
        for name in names:
            role = "admin" if name == "demoted" else "user"
            url[name] = (
                f"{USERS}{signed_in_client(here, name, role).get(ACCOUNT).json['id']}"
            )
            tokens[name] = bearer(
                sign_in(here.test_client(), name).json["access_token"]
            )
            basics[name] = {"Authorization": basic(name, SHARED_PASSWORD)}

        def statuses(headers, address=ACCOUNT):
            return {
                name: stranger.get(address, headers=headers[name]).status_code
                for name in names
            }

        before = dict.fromkeys(names, 200)
        assert statuses(tokens) == statuses(basics) == before
        assert stranger.get(USERS, headers=tokens["demoted"]).status_code == 200
        assert (
            admin.patch(url["renamed"], json={"username": "other"}).status_code == 200
        )
        assert change_password_of(here, "password").status_code == 200
        assert be_blocked(None, admin, url["blocked"]).status_code == 200
        assert be_deleted(None, admin, url["deleted"]).status_code == 204
        assert admin.patch(url["demoted"], json={"role": "user"}).status_code == 200
        left = here.test_client().post("/api/v1/auth/logout", headers=tokens["left"])
        assert left.status_code == 204
        time.sleep(1.05)
        gone = {"password": 401, "blocked": 401, "deleted": 401}
        assert statuses(tokens) == {**before, **gone, "left": 401}
        assert statuses(basics) == {**before, **gone, "renamed": 401}
        assert stranger.get(USERS, headers=tokens["demoted"]).status_code == 403


def change_password_of(app, username):
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = basic(username, SHARED_PASSWORD)
    return change_password(client, None, None)


def test_of_two_concurrent_refreshes_one_succeeds_and_the_session_ends(uri, redis_url):
    with process_app(uri, redis_url) as app:
        gardener = signed_in_client(app, "gardener")
        pair = sign_in(app.test_client()).json

        def renew():
            client, headers = app.test_client(), bearer(pair["refresh_token"])
            return client.post(REFRESHING, headers=headers).status_code

        assert sorted(at_once(renew, renew)) == [200, 401]
        assert gardener.get("/api/v1/auth/sessions").json["items"] == []


def test_sessions_work_and_end_without_redis(
    app, admin, gardener, stranger, assert_token_refused
):
    app.config["REDIS_URL"] = "unix:///nowhere"
    redis_store.init_app(app)
    pair = sign_in(stranger).json
    url = f"{USERS}{gardener.get(ACCOUNT).json['id']}"
    assert (
        stranger.get(SESSIONS, headers=bearer(pair["access_token"])).status_code == 200
    )
    assert be_blocked(gardener, admin, url).status_code == 200
    assert_token_refused(pair["access_token"])
    assert_token_refused(pair["refresh_token"])


# Hashes of older parameters

WEAK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def veteran(app):
    """Return a client of an account whose password hash has weak parameters."""
    client = signed_in_client(app, "veteran")
    with app.app_context(), unit_of_work():
        long_ago = now().replace(year=2020)
        values = {"created_at": long_ago, "updated_at": long_ago}
        values["password_hash"] = WEAK.hash(SHARED_PASSWORD)
        sql.session.execute(
            sql.update(User).where(User.name_key == "veteran").values(**values)
        )
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
    with app.app_context(), unit_of_work():  # as another process does it
        sql.session.execute(
            sql.update(User)
            .where(User.name_key == "veteran")
            .values(password_hash=WEAK.hash(NEW_PASSWORD))
        )
    assert veteran.get(ACCOUNT).status_code == 200  # within the second
    clock(1)
    refusal(veteran.get(ACCOUNT))
    assert veteran.get(ACCOUNT, headers=new).status_code == 200
