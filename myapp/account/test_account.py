import pytest

from conftest import SHARED_PASSWORD, basic
from support.accounts import (
    ACCOUNT,
    NEW_PASSWORD,
    SESSIONS,
    pointers,
    status,
    url_of,
)
from support.assertions import assert_problem

BOTH = pytest.mark.parametrize("verb", ["PUT", "PATCH"])


def test_an_account_reads_itself(admin, gardener):
    read = gardener.get(ACCOUNT)
    account, known = read.json, {"If-None-Match": read.headers["ETag"]}
    assert account["url"] == f"http://localhost{ACCOUNT}"
    assert account["username"] == "gardener"
    assert (account["role"], account["status"]) == ("user", "normal")
    seen = admin.get(url_of(gardener)).json
    assert {**seen, "url": account["url"]} == account
    assert gardener.get(ACCOUNT, headers=known).status_code == 304


# A new name


@BOTH
def test_a_new_name_keeps_password_and_sessions(gardener, session_client, verb):
    before = gardener.get(ACCOUNT).json
    body = {"username": "Florist", "current_password": "whatever it is"}
    changed = session_client.open(ACCOUNT, method=verb, json=body)
    assert changed.status_code == 200
    updated = {"username": "Florist", "updated_at": changed.json["updated_at"]}
    assert changed.json == {**before, **updated}
    assert session_client.get(ACCOUNT).json == changed.json
    assert status(session_client, "florist", SHARED_PASSWORD) == 200
    assert status(session_client, "gardener", SHARED_PASSWORD) == 401


@BOTH
def test_a_new_name_is_free_or_another_case_of_the_old_one(gardener, engineer, verb):
    for name in ("PythonistA", "ENGINEER"):
        taken = gardener.open(ACCOUNT, method=verb, json={"username": name})
        assert_problem(taken, 409)
        assert gardener.get(ACCOUNT).json["username"] == "gardener"
    own = gardener.open(ACCOUNT, method=verb, json={"username": "GARDENER"})
    assert own.json["username"] == gardener.get(ACCOUNT).json["username"] == "GARDENER"
    gardener.delete(ACCOUNT)
    free = engineer.open(ACCOUNT, method=verb, json={"username": "gardener"})
    assert free.status_code == 200


# A new password


@BOTH
def test_a_new_password_ends_every_session(gardener, session_client, verb):
    body = {"password": NEW_PASSWORD, "current_password": SHARED_PASSWORD}
    body["username"] = "gardener"
    assert session_client.open(ACCOUNT, method=verb, json=body).status_code == 200
    assert_problem(session_client.get(ACCOUNT), 401)
    assert status(gardener, "gardener", SHARED_PASSWORD) == 401
    headers = {"Authorization": basic("gardener", NEW_PASSWORD)}
    assert gardener.get(SESSIONS, headers=headers).json["items"] == []


@BOTH
@pytest.mark.parametrize("current", [{}, None, "", "a wrong password", NEW_PASSWORD])
def test_a_new_password_needs_the_current_one(gardener, session_client, verb, current):
    body = {"username": "florist", "password": NEW_PASSWORD}
    if current != {}:
        body["current_password"] = current
    refused = session_client.open(ACCOUNT, method=verb, json=body)
    assert pointers(refused) == ["/current_password"]
    assert session_client.get(ACCOUNT).json["username"] == "gardener"
    assert status(gardener, "gardener", SHARED_PASSWORD) == 200


@BOTH
def test_an_account_cannot_change_its_own_role_or_status(gardener, verb):
    before = gardener.get(ACCOUNT).json
    body = {"username": "gardener", "role": "user", "status": "normal"}
    refused = gardener.open(ACCOUNT, method=verb, json=body)
    assert pointers(refused) == ["/role", "/status"]
    assert gardener.get(ACCOUNT).json == before
