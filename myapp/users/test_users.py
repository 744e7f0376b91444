from functools import partial

import pytest
from sqlalchemy import event

from conftest import LAMP, SHARED_PASSWORD, as_account, signed_in_client
from myapp.core.data import batches
from support.accounts import (
    ACCOUNT,
    AUDIT,
    NEW_PASSWORD,
    ROLES,
    USERS,
    pointers,
    purge,
    set_age,
    status,
    url_of,
)
from support.assertions import assert_problem
from support.concurrency import at_once
from support.discovery import API

from ..core.data.session import sql, unit_of_work
from .models import User

GARDENER = {"username": "gardener", "password": "green fingers"}
HELPDESK = {"title": "helpdesk", "permissions": ["users:read", "users:write"]}
PUT_AND_PATCH = pytest.mark.parametrize("verb", ["PUT", "PATCH"])


def names(client, **query):
    query = {"per_page": 100, **query}
    items = client.get(USERS, query_string=query).json["items"]
    return [user["username"] for user in items]


@pytest.fixture
def url(gardener):
    """Return the URL of the account gardener."""
    return url_of(gardener)


# Adding and reading


@pytest.mark.parametrize(
    "more, role, state",
    [
        ({"role": "Manager"}, "manager", "normal"),
        ({}, "user", "normal"),
        ({"role": None, "status": "blocked"}, "user", "blocked"),
    ],
)
def test_a_new_account_has_a_role_and_signs_in_unless_it_is_blocked(
    admin, stranger, more, role, state
):
    added = admin.post(USERS, json={**GARDENER, **more}).json
    expected = ("gardener", role, state)
    assert (added["username"], added["role"], added["status"]) == expected
    code = 200 if state == "normal" else 401
    assert status(stranger, *GARDENER.values()) == code


def test_accounts_are_listed_filtered_and_searched(app, admin, gardener, url):
    signed_in_client(app, "Mogul", "manager")
    assert {"pythonista", "engineer", "chief", "gardener"} <= set(names(admin))
    assert names(admin, username="gardener") == ["gardener"]
    assert names(admin, q="OGU") == ["Mogul"]
    assert names(admin, role="manager") == ["Mogul"]
    assert names(admin, status="blocked") == []
    assert admin.patch(url, json={"status": "blocked"}).json["status"] == "blocked"
    assert names(admin, status="blocked") == ["gardener"]
    assert names(admin, sort="-username") == sorted(names(admin), reverse=True)


@pytest.mark.parametrize(
    "name", ["password", "password_hash", "name_key", "generation"]
)
def test_what_is_hidden_cannot_be_filtered_or_sorted_by(admin, name):
    for query in ({name: "x"}, {"sort": name}):
        assert_problem(admin.get(USERS, query_string=query), 400)


# Changing


def test_a_changed_account_keeps_its_password_and_role(admin, stranger, url):
    admin.patch(url, json={"role": "manager", "status": "blocked"})
    replaced = admin.put(url, json={"username": "Florist"}).json
    expected = ("Florist", "manager", "normal")  # a PUT without a status unblocks
    assert (replaced["username"], replaced["role"], replaced["status"]) == expected
    assert admin.get(url).json == replaced
    assert status(stranger, "florist", SHARED_PASSWORD) == 200
    for patch in ({"username": "Cook"}, {"role": None, "password": None}):
        patched = admin.patch(url, json=patch).json
        expected = ("Cook", "manager", "normal")
        assert (patched["username"], patched["role"], patched["status"]) == expected
        assert status(stranger, "cook", SHARED_PASSWORD) == 200


@PUT_AND_PATCH
def test_only_the_new_password_is_valid(admin, gardener, stranger, url, verb):
    body = {"username": "gardener", "password": NEW_PASSWORD}
    assert admin.open(url, method=verb, json=body).status_code == 200
    assert status(stranger, "gardener", NEW_PASSWORD) == 200
    assert gardener.get(ACCOUNT).status_code == 401


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    "faulty",
    [
        {"role": "gardener"},
        {"deleted_at": None, "generation": 1, "last_login_at": None},
    ],
)
def test_an_unknown_role_or_a_hidden_property_is_422(admin, url, verb, faulty):
    before = admin.get(USERS).json
    body = {**GARDENER, "username": "florist", **faulty}
    refused = admin.open(USERS if verb == "POST" else url, method=verb, json=body)
    assert pointers(refused) == [f"/{name}" for name in faulty]
    assert admin.get(USERS).json == before


@pytest.mark.parametrize("name", ["pythonista", "PYTHONISTA"])
def test_a_name_that_is_taken_in_any_case_is_409(admin, url, name):
    for refused in (
        admin.post(USERS, json={**GARDENER, "username": name}),
        admin.put(url, json={"username": name}),
        admin.patch(url, json={"username": name}),
    ):
        assert assert_problem(refused, 409)["detail"] == "The username is taken."
    assert admin.get(url).json["username"] == "gardener"


def test_a_deleted_account_is_hidden_and_its_name_free(admin, gardener, url):
    id = admin.get(url).json["id"]
    assert admin.delete(url).status_code == 204
    assert_problem(admin.get(url), 404)
    for query in ({}, {"username": "gardener"}, {"q": "gardener"}, {"id": id}):
        assert "gardener" not in names(admin, **query)
    assert_problem(gardener.get(ACCOUNT), 401)
    response = admin.post(USERS, json=GARDENER)
    assert response.status_code == 201
    assert response.json["id"] > id


# Permissions


def test_a_caller_cannot_grant_a_default_role_with_more_permissions(app, admin):
    assert admin.post(ROLES, json=HELPDESK).status_code == 201
    helpdesk = signed_in_client(app, "heidi", "helpdesk")
    (highest,) = admin.get(f"{ROLES}?title=admin").json["items"]
    admin.patch(highest["url"], json={"default": True})
    assert_problem(helpdesk.post(USERS, json=GARDENER), 403)
    assert admin.post(USERS, json=GARDENER).json["role"] == "admin"


def test_the_last_admin_can_change_other_properties(admin):
    url = url_of(admin)
    assert admin.patch(url, json={"role": "admin"}).status_code == 200
    assert admin.patch(url, json={"username": "boss"}).status_code == 200


@pytest.mark.parametrize(
    "verb, body",
    [("PATCH", {"role": "user"}), ("PATCH", {"status": "blocked"}), ("DELETE", None)],
)
def test_of_two_admins_who_delete_each_other_concurrently_one_remains(
    live_app, verb, body
):
    ada, bob = (signed_in_client(live_app, name, "admin") for name in ("ada", "bob"))
    calls = [  # reading the URLs caches both accounts
        partial(client.open, url_of(other), method=verb, json=body)
        for client, other in ((ada, bob), (bob, ada))
    ]
    statuses = [response.status_code for response in at_once(*calls)]
    assert len([code for code in statuses if code in (200, 204)]) == 1
    assert len([code for code in statuses if code in (401, 403, 409)]) == 1
    reader = signed_in_client(live_app, "reader", "admin")
    assert len(names(reader, role="admin", status="normal")) == 2  # with reader


# Purge

OWNED = ("sample_gadgets", "sample_chores", "sessions")
CHORE = {"name": "Descale the kettle", "task": "Half vinegar, half water."}


def create_dependents(client, number=7):
    """Create a session, gadgets and a chore about each gadget for an account."""
    client.get(f"{API}/auth/request-token")
    for _ in range(number):
        gadget = client.post(f"{API}/sample_gadgets/", json=LAMP).json
        client.post(f"{API}/sample_chores/", json={**CHORE, "gadget": gadget["id"]})


def rows(app):
    """Return the number of rows of each table except the audit trail."""
    with app.app_context(), unit_of_work(writes=False):
        return {
            table.name: sql.session.scalar(
                sql.select(sql.func.count()).select_from(table)
            )
            for table in sql.metadata.sorted_tables
            if table.name != "audit"
        }


def leave(app, username, number=7, **ago):
    """Create an account with dependents, and delete it, this long ago; return its id."""
    client = signed_in_client(app, username)
    create_dependents(client, number)
    id = client.get(ACCOUNT).json["id"]
    assert client.delete(ACCOUNT).status_code == 204
    set_age(app, User.deleted_at, User.id == id, **ago)
    return id


@pytest.fixture
def in_parts(monkeypatch):
    """Delete two rows of each table in a batch."""
    monkeypatch.setattr(batches, "DELETE_BATCH_ROWS", 2)


def test_a_purge_deletes_an_account_with_all_that_it_owns(app, admin, in_parts):
    create_dependents(admin)
    before = rows(app)
    id = leave(app, "gardener", days=29, hours=23)
    kept = rows(app)
    assert (purge(app, "users"), rows(app)) == ("0", kept)
    leave(app, "helper", 2, days=30, minutes=1)
    assert (purge(app, "users"), rows(app)) == ("1 accounts", kept)
    set_age(app, User.deleted_at, User.id == id, days=31)
    assert (purge(app, "users"), rows(app)) == ("1 accounts", before)
    assert purge(app, "users") == "0"
    items = admin.get(AUDIT, query_string={"account_id": id}).json["items"]
    assert {line["action"] for line in items} == {"signed in", "account deleted"}


def test_an_interrupted_purge_is_continued(live_app, in_parts):
    before = rows(live_app)
    leave(live_app, "gardener", days=31)
    parts = []

    def break_off(_connection, _cursor, statement, *_):
        if statement.startswith("DELETE FROM sample_gadgets"):
            parts.append(statement)
            if len(parts) == 3:
                raise KeyboardInterrupt

    with live_app.app_context():
        engine = sql.engine
    event.listen(engine, "before_cursor_execute", break_off)
    with pytest.raises(KeyboardInterrupt):
        purge(live_app, "users")
    left = rows(live_app)
    assert left["sample_gadgets"] - before["sample_gadgets"] == 3
    assert left["users"] - before["users"] == 1
    assert (purge(live_app, "users"), rows(live_app)) == ("1 accounts", before)


def test_two_concurrent_purges_delete_an_account_once(live_app, in_parts):
    before = rows(live_app)
    leave(live_app, "gardener", days=31)
    create_dependents(as_account(live_app, "engineer"), 1)
    results = at_once(*[partial(purge, live_app, "users")] * 3)
    assert sorted(results) == ["0", "0", "1 accounts"]
    left = rows(live_app)
    assert left["users"] == before["users"]
    assert [left[table] for table in OWNED] == [1, 1, 1]
