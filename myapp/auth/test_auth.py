import time
from base64 import b64encode, urlsafe_b64encode
from json import dumps

import pytest
from conftest import PASSWORDS, THERMOSTAT, basic
from joserfc import jwt
from joserfc.jwk import OctKey

from myapp.db import unit_of_work
from myapp.guard import hasher
from myapp.users.models import User

TOKEN = "/api/v1/auth/request-token"
DEVICES = "/api/v1/devices/"
RIGHT = basic("pythonista", PASSWORDS["pythonista"])


def ask(client, address, authorization):
    headers = {"Authorization": authorization} if authorization is not None else {}
    return client.get(address, headers=headers)


def bearer(token):
    return f"Bearer {token}"


def refusal(response):
    """What a 401 says, without what differs from call to call."""
    assert response.status_code == 401
    assert response.mimetype == "application/problem+json"
    challenges = response.headers["WWW-Authenticate"]
    assert "Basic realm=" in challenges and "Bearer realm=" in challenges
    assert response.json["request_id"] == response.headers["X-Request-ID"]
    return {k: v for k, v in response.json.items() if k != "request_id"}, challenges


@pytest.fixture
def token(stranger):
    """An access token of pythonista's."""
    return ask(stranger, TOKEN, RIGHT).json["token"]


@pytest.fixture
def forge(app, token):
    """Sign what the token claims anew, with changes; None takes a claim away."""
    ours = app.config["JWT_SECRET_KEY"]
    claims = jwt.decode(token, OctKey.import_key(ours)).claims

    def forge(algorithm="HS256", secret=ours, **changes):
        changed = {k: v for k, v in {**claims, **changes}.items() if v is not None}
        key = OctKey.import_key(secret)
        return jwt.encode({"alg": algorithm}, changed, key, algorithms=[algorithm])

    return forge


@pytest.fixture
def a_second_later(monkeypatch):
    """Let a second pass by the clock that caches go by."""

    def wait():
        clock = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: clock() + 1)

    return wait


# Tokens


def test_a_name_and_a_password_get_a_token(stranger):
    answer = ask(stranger, TOKEN, RIGHT)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-cache, no-store, max-age=0"
    assert answer.json.keys() == {"token", "expires_in"}
    assert answer.json["expires_in"] == 15 * 60


def test_a_token_says_whose_it_is_and_until_when_and_no_more(app, stranger):
    app.config["JWT_TTL"] = 2
    answer = ask(stranger, TOKEN, RIGHT).json
    key = OctKey.import_key(app.config["JWT_SECRET_KEY"])
    claims = jwt.decode(answer["token"], key).claims
    assert answer["expires_in"] == claims["exp"] - claims["iat"] == 120
    assert 0 <= time.time() - claims["iat"] < 10
    assert claims.keys() == {"iss", "aud", "sub", "iat", "exp"}


def test_a_token_opens_what_its_account_may_do(stranger, token):
    stranger.environ_base["HTTP_AUTHORIZATION"] = bearer(token)
    made = stranger.post(DEVICES, json=THERMOSTAT)
    assert made.status_code == 201
    assert made.json["owner"] == "pythonista"
    assert stranger.get(DEVICES).json["items"] == [made.json]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_known_in_any_case(stranger, token, scheme):
    assert ask(stranger, DEVICES, f"{scheme} {token}").status_code == 200


def test_a_token_gets_no_other_token(stranger, token):
    assert ask(stranger, DEVICES, bearer(token)).status_code == 200
    refusal(ask(stranger, TOKEN, bearer(token)))


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_token_is_only_to_be_read(client, verb):
    refused = client.open(TOKEN, method=verb)
    assert refused.status_code == 405
    assert set(refused.allow) == {"GET", "HEAD", "OPTIONS"}
    assert set(client.options(TOKEN).allow) == {"GET", "HEAD", "OPTIONS"}


def test_head_has_no_token(client):
    head = client.head(TOKEN)
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Cache-Control"] == "no-cache, no-store, max-age=0"


# Where Basic works


def test_a_name_and_a_password_work_everywhere(stranger):
    assert ask(stranger, DEVICES, RIGHT).status_code == 200


def test_where_tokens_are_to_be_used_a_password_only_gets_one(app, stranger):
    app.config["USE_TOKEN_AUTH"] = True
    refusal(ask(stranger, DEVICES, RIGHT))
    token = ask(stranger, TOKEN, RIGHT).json["token"]
    assert ask(stranger, DEVICES, bearer(token)).status_code == 200
    refusal(ask(stranger, TOKEN, bearer(token)))


@pytest.mark.parametrize("name", ["PYTHONISTA", "Pythonista", "pYTHONISTa"])
def test_a_name_is_known_in_any_case(client, stranger, device, name):
    answer = ask(stranger, DEVICES, basic(name, PASSWORDS["pythonista"]))
    assert answer.json["items"] == [device]
    assert device["owner"] == "pythonista"


# Wrong credentials


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        basic("pythonista", "wrong password"),
        basic("nobody", PASSWORDS["pythonista"]),
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
        "Bearer x",
        "Bearer a.b.c",
        "Bearer a.b.c.d.e",
        "Bearer ..",
        "Bearer null",
        "Bearer é.é.é",
        "Bearer a=b",
        "Digest username=pythonista",
        "pythonista",
        RIGHT.replace("Basic", "Bearer"),
    ],
)
@pytest.mark.parametrize("address", [DEVICES, TOKEN])
def test_whatever_is_wrong_the_answer_is_the_same(stranger, address, authorization):
    nothing = refusal(ask(stranger, address, None))
    assert refusal(ask(stranger, address, authorization)) == nothing


def test_a_right_password_does_not_let_a_wrong_one_in(stranger):
    for _ in range(2):
        assert ask(stranger, DEVICES, RIGHT).status_code == 200
        refusal(ask(stranger, DEVICES, basic("pythonista", "wrong")))
        refusal(ask(stranger, DEVICES, basic("engineer", PASSWORDS["pythonista"])))


# Wrong tokens


def test_a_token_that_is_signed_by_us_works(stranger, forge):
    assert ask(stranger, DEVICES, bearer(forge())).status_code == 200


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_token_that_was_tampered_with_is_refused(stranger, token, part):
    parts = token.split(".")
    middle = len(parts[part]) // 2
    swapped = "A" if parts[part][middle] != "A" else "B"
    parts[part] = parts[part][:middle] + swapped + parts[part][middle + 1 :]
    assert ask(stranger, DEVICES, bearer(token)).status_code == 200
    refusal(ask(stranger, DEVICES, bearer(".".join(parts))))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS256"])
def test_a_token_that_nobody_signed_is_refused(stranger, token, algorithm):
    header = dumps({"alg": algorithm, "typ": "JWT"}).encode()
    header = urlsafe_b64encode(header).rstrip(b"=").decode()
    payload, signature = token.split(".")[1:]
    refusal(ask(stranger, DEVICES, bearer(f"{header}.{payload}.")))
    refusal(ask(stranger, DEVICES, bearer(f"{header}.{payload}")))
    if algorithm != "HS256":
        refusal(ask(stranger, DEVICES, bearer(f"{header}.{payload}.{signature}")))


def test_a_token_that_another_key_signed_is_refused(stranger, forge):
    for secret in ("another key, as long as ours is and longer", "x" * 64):
        refusal(ask(stranger, DEVICES, bearer(forge(secret=secret))))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_a_token_of_another_algorithm_is_refused(stranger, forge, algorithm):
    refusal(ask(stranger, DEVICES, bearer(forge(algorithm))))


@pytest.mark.parametrize(
    "claim, value",
    [(claim, None) for claim in ("iss", "aud", "sub", "iat", "exp")]
    + [("exp", value) for value in (0, -1, "tomorrow", [2**40])]
    + [("iss", value) for value in ("somebody", "", ["myapp"])]
    + [("aud", value) for value in ("refresh", "", [], ["refresh"])]
    + [("sub", value) for value in ("0", "-1", "", "pythonista", "1e0", [1])]
    + [("iat", 2**40), ("nbf", 2**40)],
)
def test_a_token_that_claims_otherwise_is_refused(stranger, forge, claim, value):
    refusal(ask(stranger, DEVICES, bearer(forge(**{claim: value}))))


def test_a_token_speaks_for_the_account_that_it_names(app, stranger, forge):
    with app.app_context():
        engineer = User.find("engineer").id
    made = stranger.post(
        DEVICES,
        json=THERMOSTAT,
        headers={"Authorization": bearer(forge(sub=str(engineer)))},
    )
    assert made.json["owner"] == "engineer"


def test_an_expired_token_is_refused(stranger, forge):
    now = int(time.time())
    refusal(ask(stranger, DEVICES, bearer(forge(iat=now - 60, exp=now - 1))))
    fresh = bearer(forge(iat=now - 60, exp=now + 60))
    assert ask(stranger, DEVICES, fresh).status_code == 200


def test_a_token_that_worked_expires_all_the_same(stranger, token, monkeypatch):
    assert ask(stranger, DEVICES, bearer(token)).status_code == 200
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 15 * 60 - 5)
    assert ask(stranger, DEVICES, bearer(token)).status_code == 200
    monkeypatch.setattr(time, "time", lambda: clock() + 15 * 60)
    refusal(ask(stranger, DEVICES, bearer(token)))


# When an account changes


def test_a_new_password_is_felt_within_a_second(app, stranger, a_second_later):
    new = basic("pythonista", "another password")
    assert ask(stranger, DEVICES, RIGHT).status_code == 200
    refusal(ask(stranger, DEVICES, new))
    with app.app_context(), unit_of_work():
        User.find("pythonista").password_hash = hasher.hash("another password")
    a_second_later()
    for address in (DEVICES, TOKEN):
        refusal(ask(stranger, address, RIGHT))
        assert ask(stranger, address, new).status_code == 200


def test_a_deleted_account_is_felt_within_a_second(
    app, stranger, token, a_second_later
):
    assert ask(stranger, DEVICES, bearer(token)).status_code == 200
    assert ask(stranger, DEVICES, RIGHT).status_code == 200
    with app.app_context(), unit_of_work():
        User.find("pythonista").delete()
    a_second_later()
    refusal(ask(stranger, DEVICES, bearer(token)))
    refusal(ask(stranger, DEVICES, RIGHT))


def test_a_new_account_is_felt_within_a_second(app, stranger, a_second_later):
    new = basic("newcomer", "some password")
    refusal(ask(stranger, DEVICES, new))
    with app.app_context(), unit_of_work():
        User.register("Newcomer", "some password")
    a_second_later()
    assert ask(stranger, DEVICES, new).status_code == 200
