import pytest

from conftest import SHARED_PASSWORD, basic, signed_in_client
from support.assertions import assert_problem

ACCOUNT = "/api/v1/account"
SESSIONS = "/api/v1/auth/sessions"
LOGIN = "/api/v1/auth/login"
NEW = "another one for it"
MERGE_PATCH = "application/merge-patch+json"


def pointers(response):
    problem = assert_problem(response, 422)
    return sorted({error["pointer"] for error in problem["errors"]})


def status(client, username, password):
    """Return the status of a request with these credentials."""
    headers = {"Authorization": basic(username, password)}
    return client.get(ACCOUNT, headers=headers).status_code


@pytest.fixture
def gardener(app):
    """Return a client that authenticates as gardener with HTTP Basic."""
    return signed_in_client(app, "gardener")


@pytest.fixture
def session_client(gardener):
    """Return a client with a token of gardener."""
    body = {"username": "gardener", "password": SHARED_PASSWORD}
    token = gardener.post(LOGIN, json=body).json["access_token"]
    client = gardener.application.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return client


# Reading


def test_an_account_reads_itself(admin, gardener):
    answer = gardener.get(ACCOUNT)
    assert answer.status_code == 200
    assert answer.json["url"] == f"http://localhost{ACCOUNT}"
    assert answer.json["username"] == "gardener"
    assert (answer.json["role"], answer.json["status"]) == ("user", "normal")
    assert not [word for word in ("password", "$argon2") if word in answer.text]
    seen = admin.get(f"/api/v1/users/{answer.json['id']}").json
    assert {**seen, "url": answer.json["url"]} == answer.json


def test_a_known_etag_is_304(gardener):
    tag = gardener.get(ACCOUNT).headers["ETag"]
    assert gardener.get(ACCOUNT, headers={"If-None-Match": tag}).status_code == 304


# A new name


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
def test_a_new_name_keeps_password_and_sessions(gardener, session_client, verb):
    before = gardener.get(ACCOUNT).json
    changed = session_client.open(ACCOUNT, method=verb, json={"username": "Florist"})
    assert changed.status_code == 200
    assert changed.json == {
        **before,
        "username": "Florist",
        "last_login_at": changed.json["last_login_at"],
        "updated_at": changed.json["updated_at"],
    }
    assert session_client.get(ACCOUNT).json == changed.json
    assert status(session_client, "florist", SHARED_PASSWORD) == 200
    assert status(session_client, "gardener", SHARED_PASSWORD) == 401


def test_a_username_can_change_its_case(gardener):
    assert gardener.patch(ACCOUNT, json={"username": "GARDENER"}).status_code == 200
    assert gardener.get(ACCOUNT).json["username"] == "GARDENER"


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
def test_a_name_that_is_taken_in_any_case_is_409(gardener, verb):
    taken = gardener.open(ACCOUNT, method=verb, json={"username": "PythonistA"})
    assert_problem(taken, 409)
    assert gardener.get(ACCOUNT).json["username"] == "gardener"


# A new password


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
def test_a_new_password_ends_every_session(gardener, session_client, verb):
    body = {
        "username": "gardener",
        "password": NEW,
        "current_password": SHARED_PASSWORD,
    }
    assert session_client.open(ACCOUNT, method=verb, json=body).status_code == 200
    assert_problem(session_client.get(ACCOUNT), 401)
    assert status(gardener, "gardener", SHARED_PASSWORD) == 401
    headers = {"Authorization": basic("gardener", NEW)}
    sessions = gardener.get(SESSIONS, headers=headers).json["items"]
    assert sessions == []


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
@pytest.mark.parametrize("current", [{}, None, "", "a wrong password", NEW])
def test_a_new_password_needs_the_current_one(gardener, session_client, verb, current):
    body = {"username": "florist", "password": NEW}
    if current != {}:
        body["current_password"] = current
    refused = session_client.open(ACCOUNT, method=verb, json=body)
    assert pointers(refused) == ["/current_password"]
    assert session_client.get(ACCOUNT).json["username"] == "gardener"
    assert status(gardener, "gardener", SHARED_PASSWORD) == 200


def test_a_current_password_alone_changes_nothing(gardener, session_client):
    body = {"current_password": "whatever it is"}
    assert gardener.patch(ACCOUNT, json=body).status_code == 200
    assert session_client.get(ACCOUNT).status_code == 200


# Invalid input


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    "body, faults",
    [
        ({"role": "admin"}, ["/role"]),
        ({"status": "blocked"}, ["/status"]),
        ({"id": 1, "url": "x", "created_at": None}, ["/created_at", "/id", "/url"]),
        ({"username": "a b", "password": "short"}, ["/password", "/username"]),
        ({"username": None}, ["/username"]),
        ({"password": "a" * 129, "current_password": 1}, None),
    ],
)
def test_an_invalid_change_is_422_with_every_error(gardener, verb, body, faults):
    before = gardener.get(ACCOUNT).json
    body = {"username": "gardener", **body}
    refused = gardener.open(ACCOUNT, method=verb, json=body)
    assert pointers(refused) == (faults or ["/current_password", "/password"])
    assert gardener.get(ACCOUNT).json == before


def test_a_put_needs_the_name(gardener):
    assert pointers(gardener.put(ACCOUNT, json={})) == ["/username"]


def test_a_patch_is_a_merge_patch(gardener):
    patch = {"data": b'{"username": "florist"}', "content_type": MERGE_PATCH}
    assert_problem(gardener.put(ACCOUNT, **patch), 415)
    assert gardener.patch(ACCOUNT, **patch).json["username"] == "florist"


# Concurrent changes


@pytest.mark.parametrize("verb", ["GET", "PUT", "PATCH", "DELETE"])
def test_a_process_that_still_caches_a_deleted_account_answers_404(app, gardener, verb):
    gardener.get(ACCOUNT)
    heard = app.extensions["authenticator"].accounts
    before = dict(heard)
    gardener.delete(ACCOUNT)
    heard.update(before)
    assert_problem(gardener.open(ACCOUNT, method=verb, json={"username": "cook"}), 404)


@pytest.mark.parametrize("verb", ["PUT", "PATCH", "DELETE"])
def test_a_stale_etag_changes_nothing(gardener, verb):
    stale = gardener.get(ACCOUNT).headers["ETag"]
    fresh = gardener.patch(ACCOUNT, json={"username": "florist"}).headers["ETag"]
    gardener.environ_base["HTTP_AUTHORIZATION"] = basic("florist", SHARED_PASSWORD)
    body = {"json": {"username": "cook"}} if verb != "DELETE" else {}
    late = gardener.open(ACCOUNT, method=verb, headers={"If-Match": stale}, **body)
    assert_problem(late, 412)
    assert gardener.get(ACCOUNT).headers["ETag"] == fresh
    now = gardener.open(ACCOUNT, method=verb, headers={"If-Match": fresh}, **body)
    assert now.status_code in (200, 204)


# Deletion


def test_a_deleted_account_cannot_sign_in_and_is_hidden(
    admin, gardener, session_client
):
    url = f"/api/v1/users/{gardener.get(ACCOUNT).json['id']}"
    gone = session_client.delete(ACCOUNT)
    assert (gone.status_code, gone.data) == (204, b"")
    assert_problem(session_client.get(ACCOUNT), 401)
    assert_problem(gardener.get(ACCOUNT), 401)
    assert_problem(admin.get(url), 404)


def test_the_username_of_a_deleted_account_can_be_taken(gardener, engineer):
    gardener.delete(ACCOUNT)
    assert engineer.patch(ACCOUNT, json={"username": "gardener"}).status_code == 200


def test_the_last_admin_cannot_delete_the_account(app, admin):
    assert_problem(admin.delete(ACCOUNT), 409)
    assert admin.get(ACCOUNT).status_code == 200
    signed_in_client(app, "deputy", "admin")
    assert admin.delete(ACCOUNT).status_code == 204


def test_a_client_without_credentials_has_no_account(stranger):
    for verb in ("GET", "PUT", "PATCH", "DELETE"):
        assert_problem(stranger.open(ACCOUNT, method=verb, json={}), 401)
