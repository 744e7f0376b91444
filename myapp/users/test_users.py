from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import event

from conftest import LAMP, SHARED_PASSWORD, as_account, basic, signed_in_client
from myapp.core.data import batches
from support.assertions import assert_problem
from support.concurrency import at_once

from ..core.data.models.columns import now
from ..core.data.session import sql, unit_of_work
from ..core.jobs import schedule
from .models import User

USERS = "/api/v1/users/"
ROLES = "/api/v1/roles/"
ACCOUNT = "/api/v1/account"
LOGIN = "/api/v1/auth/login"
NEW = "another one for it"
GARDENER = {"username": "gardener", "password": "green fingers"}
HELPDESK = {"title": "helpdesk", "permissions": ["users:read", "users:write"]}


def address_of(client):
    """Return the URL of the account of a client."""
    return f"{USERS}{client.get(ACCOUNT).json['id']}"


def status(client, username, password):
    """Return the status of a request with these credentials."""
    headers = {"Authorization": basic(username, password)}
    return client.get(ACCOUNT, headers=headers).status_code


def names(client, **query):
    query = {"per_page": 100, **query}
    items = client.get(USERS, query_string=query).json["items"]
    return [user["username"] for user in items]


def pointers(response):
    problem = assert_problem(response, 422)
    return sorted({error["pointer"] for error in problem["errors"]})


@pytest.fixture
def gardener(app):
    """Return a client of gardener, an ordinary account."""
    return signed_in_client(app, "gardener")


@pytest.fixture
def url(gardener):
    """Return the URL of the account gardener."""
    return address_of(gardener)


@pytest.fixture
def helpdesk(app, admin):
    """Return a client with only the permissions to change accounts."""
    assert admin.post(ROLES, json=HELPDESK).status_code == 201
    return signed_in_client(app, "heidi", "helpdesk")


# Adding and reading


def test_a_new_account_can_be_read_and_signs_in(admin, stranger):
    response = admin.post(USERS, json={**GARDENER, "role": "Manager"})
    assert response.status_code == 201
    assert response.headers["Location"] == response.json["url"]
    assert response.json["username"] == "gardener"
    assert (response.json["role"], response.json["status"]) == ("manager", "normal")
    read = admin.get(response.json["url"])
    assert read.json == response.json
    assert read.headers["ETag"] == response.headers["ETag"]
    assert status(stranger, *GARDENER.values()) == 200


def test_an_account_without_a_role_gets_the_default_role(admin):
    assert admin.post(USERS, json=GARDENER).json["role"] == "user"
    body = {**GARDENER, "username": "florist", "role": None}
    assert admin.post(USERS, json=body).json["role"] == "user"


def test_a_new_account_can_be_blocked(admin, stranger):
    response = admin.post(USERS, json={**GARDENER, "status": "blocked"})
    assert response.json["status"] == "blocked"
    assert status(stranger, *GARDENER.values()) == 401


def test_accounts_are_listed_filtered_and_searched(app, admin, gardener):
    signed_in_client(app, "Mogul", "manager")
    assert {"pythonista", "engineer", "chief", "gardener"} <= set(names(admin))
    assert names(admin, username="gardener") == ["gardener"]
    assert names(admin, q="OGU") == ["Mogul"]
    assert names(admin, role="manager") == ["Mogul"]
    assert names(admin, status="blocked") == []
    assert names(admin, sort="-username") == sorted(names(admin), reverse=True)


def test_no_answer_holds_a_password(admin, gardener, url):
    body = {**GARDENER, "username": "florist"}
    answers = [
        admin.post(USERS, json=body),
        admin.put(url, json={"username": "gardener", "password": NEW}),
        admin.patch(url, json={"password": NEW}),
        admin.get(url),
        admin.get(USERS),
    ]
    for answer in answers:
        assert answer.status_code < 300
        for secret in (GARDENER["password"], NEW, "password", "$argon2"):
            assert secret not in answer.text


def test_a_password_cannot_be_filtered_or_sorted_by(admin):
    for name in ("password", "password_hash", "name_key", "generation"):
        for query in ({name: "x"}, {"sort": name}):
            assert_problem(admin.get(USERS, query_string=query), 400)


# Permissions


@pytest.mark.parametrize("role", ["user", "manager"])
def test_accounts_require_permissions(app, admin, url, role):
    before = admin.get(url).json
    member = signed_in_client(app, "member", role)
    calls = [("GET", USERS), ("POST", USERS)]
    calls += [(verb, url) for verb in ("GET", "PUT", "PATCH", "DELETE")]
    for verb, address in calls:
        body = {} if verb == "GET" else {"json": {"username": "x"}}
        assert_problem(member.open(address, method=verb, **body), 403)
    assert admin.get(url).json == before


def test_the_permission_to_read_accounts_does_not_allow_changes(app, admin, url):
    admin.post(ROLES, json={"title": "reader", "permissions": ["users:read"]})
    reader = signed_in_client(app, "reader", "reader")
    assert reader.get(url).json == admin.get(url).json
    assert_problem(reader.patch(url, json={"status": "blocked"}), 403)
    assert_problem(reader.post(USERS, json=GARDENER), 403)


# Changing


def test_a_replaced_account_keeps_its_password_and_role(admin, stranger, url):
    admin.patch(url, json={"role": "manager"})
    changed = admin.put(url, json={"username": "Florist"})
    assert changed.status_code == 200
    assert changed.json["username"] == "Florist"
    assert (changed.json["role"], changed.json["status"]) == ("manager", "normal")
    assert admin.get(url).json == changed.json
    assert status(stranger, "florist", SHARED_PASSWORD) == 200


def test_an_account_is_changed_in_part(admin, stranger, url):
    changed = admin.patch(url, json={"username": "Florist"}).json
    assert changed["username"] == "Florist"
    assert (changed["role"], changed["status"]) == ("user", "normal")
    assert status(stranger, "florist", SHARED_PASSWORD) == 200
    changed = admin.patch(url, json={"role": None, "password": None}).json
    assert changed["role"] == "user"
    assert status(stranger, "florist", SHARED_PASSWORD) == 200


def test_a_put_without_a_status_unblocks(admin, gardener, url):
    admin.patch(url, json={"status": "blocked"})
    assert admin.put(url, json={"username": "gardener"}).json["status"] == "normal"
    assert gardener.get(ACCOUNT).status_code == 200


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
def test_only_the_new_password_is_valid(admin, gardener, stranger, url, verb):
    body = {"username": "gardener", "password": NEW}
    assert admin.open(url, method=verb, json=body).status_code == 200
    assert status(stranger, "gardener", NEW) == 200
    assert gardener.get(ACCOUNT).status_code == 401


def test_a_blocked_account_is_401_until_it_is_unblocked(admin, gardener, url):
    assert gardener.get(ACCOUNT).status_code == 200
    changed = admin.patch(url, json={"status": "blocked"})
    assert changed.json["status"] == "blocked"
    assert_problem(gardener.get(ACCOUNT), 401)
    assert names(admin, status="blocked") == ["gardener"]
    assert admin.patch(url, json={"status": "normal"}).json["status"] == "normal"
    assert gardener.get(ACCOUNT).status_code == 200


@pytest.mark.parametrize("verb", ["PUT", "PATCH", "DELETE"])
def test_a_stale_etag_changes_nothing(admin, url, verb):
    stale = admin.get(url).headers["ETag"]
    changed = admin.patch(url, json={"role": "manager"})
    body = {"json": {"username": "late"}} if verb != "DELETE" else {}
    headers = {"If-Match": stale}
    late = admin.open(url, method=verb, headers=headers, **body)
    assert_problem(late, 412)
    assert admin.get(url).json == changed.json
    headers = {"If-Match": changed.headers["ETag"]}
    now = admin.open(url, method=verb, headers=headers, **body)
    assert now.status_code in (200, 204)


# Invalid input


@pytest.mark.parametrize(
    "body, faults",
    [
        ({}, ["/password", "/username"]),
        ({"username": "a b", "password": "short"}, ["/password", "/username"]),
        ({**GARDENER, "status": "gone", "role": ""}, ["/role", "/status"]),
        ({**GARDENER, "role": "gardener"}, ["/role"]),
        ({**GARDENER, "password": None}, ["/password"]),
        ({**GARDENER, "id": 7, "last_login_at": None}, ["/id", "/last_login_at"]),
    ],
)
def test_an_invalid_account_is_422_with_every_error(admin, body, faults):
    before = names(admin)
    assert pointers(admin.post(USERS, json=body)) == faults
    assert names(admin) == before


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    "body, faults",
    [
        ({"username": "ab", "password": "short"}, ["/password", "/username"]),
        ({"role": "gardener"}, ["/role"]),
        ({"status": "deleted"}, ["/status"]),
        ({"deleted_at": None, "generation": 1}, ["/deleted_at", "/generation"]),
    ],
)
def test_an_invalid_change_is_422_with_every_error(admin, url, verb, body, faults):
    before = admin.get(url).json
    body = {"username": "gardener", **body}
    assert pointers(admin.open(url, method=verb, json=body)) == faults
    assert admin.get(url).json == before


@pytest.mark.parametrize("name", ["pythonista", "PYTHONISTA"])
def test_a_name_that_is_taken_in_any_case_is_409(admin, url, name):
    assert_problem(admin.post(USERS, json={**GARDENER, "username": name}), 409)
    assert_problem(admin.put(url, json={"username": name}), 409)
    assert_problem(admin.patch(url, json={"username": name}), 409)
    assert admin.get(url).json["username"] == "gardener"


# Deletion


def test_a_deleted_account_is_hidden_and_its_name_free(admin, gardener, url):
    id = admin.get(url).json["id"]
    gone = admin.delete(url)
    assert (gone.status_code, gone.data) == (204, b"")
    for verb in ("GET", "PUT", "PATCH", "DELETE"):
        body = {"json": {"username": "gardener"}} if verb in ("PUT", "PATCH") else {}
        assert_problem(admin.open(url, method=verb, **body), 404)
    for query in ({}, {"username": "gardener"}, {"q": "gardener"}, {"id": id}):
        assert "gardener" not in names(admin, **query)
    assert_problem(gardener.get(ACCOUNT), 401)
    response = admin.post(USERS, json=GARDENER)
    assert response.status_code == 201
    assert response.json["id"] > id


# Escalation of privileges


def test_a_caller_can_change_accounts_with_no_more_permissions(
    helpdesk, gardener, stranger, url
):
    response = helpdesk.post(USERS, json={**GARDENER, "username": "florist"})
    assert response.status_code == 201
    assert helpdesk.patch(url, json={"role": "helpdesk"}).status_code == 200
    assert helpdesk.patch(url, json={"password": NEW}).status_code == 200
    assert status(stranger, "gardener", NEW) == 200
    assert helpdesk.delete(response.json["url"]).status_code == 204


@pytest.mark.parametrize("role", ["admin", "ADMIN", "manager"])
def test_a_caller_cannot_grant_a_role_with_more_permissions(
    admin, helpdesk, gardener, url, role
):
    before = admin.get(url).json
    body = {**GARDENER, "username": "florist", "role": role}
    assert_problem(helpdesk.post(USERS, json=body), 403)
    for address in (url, address_of(helpdesk)):
        name = admin.get(address).json["username"]
        assert_problem(helpdesk.patch(address, json={"role": role}), 403)
        body = {"username": name, "role": role}
        assert_problem(helpdesk.put(address, json=body), 403)
    assert admin.get(url).json == before
    assert "florist" not in names(admin)


def test_a_caller_cannot_grant_a_default_role_with_more_permissions(admin, helpdesk):
    (highest,) = admin.get(f"{ROLES}?title=admin").json["items"]
    admin.patch(highest["url"], json={"default": True})
    assert_problem(helpdesk.post(USERS, json=GARDENER), 403)
    assert admin.post(USERS, json=GARDENER).json["role"] == "admin"


@pytest.mark.parametrize("role", ["admin", "manager"])
@pytest.mark.parametrize(
    "body",
    [
        {"password": NEW},
        {"status": "blocked"},
        {"username": "unknown"},
        {"role": "user"},
        {},
    ],
)
def test_a_caller_cannot_change_an_account_with_more_permissions(
    app, admin, helpdesk, role, body
):
    boss = signed_in_client(app, "boss", role)
    url = address_of(boss)
    before = admin.get(url).json
    assert_problem(helpdesk.patch(url, json=body), 403)
    assert_problem(helpdesk.put(url, json={"username": "boss", **body}), 403)
    assert_problem(helpdesk.delete(url), 403)
    assert admin.get(url).json == before
    assert boss.get(ACCOUNT).status_code == 200


# The last admin


LEAVING = [
    ("PATCH", {"role": "user"}),
    ("PATCH", {"status": "blocked"}),
    ("PUT", {"username": "chief", "role": "manager"}),
    ("PUT", {"username": "chief", "status": "blocked"}),
    ("DELETE", None),
]


@pytest.mark.parametrize("verb, body", LEAVING)
def test_the_last_admin_cannot_be_removed(app, admin, verb, body):
    url = address_of(admin)
    signed_in_client(app, "locked", "admin")
    locked = admin.get(USERS, query_string={"username": "locked"}).json["items"][0]
    admin.patch(
        locked["url"], json={"status": "blocked"}
    )  # a blocked admin does not count
    before = admin.get(url).json
    assert_problem(admin.open(url, method=verb, json=body), 409)
    assert admin.get(url).json == before
    signed_in_client(app, "deputy", "admin")
    assert admin.open(url, method=verb, json=body).status_code in (200, 204)


def test_the_last_admin_can_change_other_properties(admin):
    url = address_of(admin)
    assert admin.patch(url, json={"role": "admin"}).status_code == 200
    assert admin.patch(url, json={"username": "boss"}).status_code == 200


@pytest.mark.parametrize("verb, body", LEAVING[:2] + LEAVING[-1:])
def test_of_two_admins_who_delete_each_other_concurrently_one_remains(
    live_app, verb, body
):
    ada, bob = signed_in_client(live_app, "ada", "admin"), signed_in_client(
        live_app, "bob", "admin"
    )
    targets = {ada: address_of(bob), bob: address_of(ada)}  # and both are cached now

    def remove(client):
        return client.open(targets[client], method=verb, json=body).status_code

    statuses = at_once(partial(remove, ada), partial(remove, bob))
    assert len([code for code in statuses if code in (200, 204)]) == 1
    assert len([code for code in statuses if code in (401, 403, 409)]) == 1
    reader = signed_in_client(live_app, "reader", "admin")
    query = {"role": "admin", "status": "normal"}
    left = set(names(reader, **query)) - {"reader"}
    assert len(left) == 1


# Purge

GADGETS = "/api/v1/sample_gadgets/"
CHORE = {"name": "Descale the kettle", "task": "Half vinegar, half water."}


def sweep(app):
    """Return the number of accounts that a purge deletes."""
    with app.app_context():
        result = schedule.periodic_tasks()["users.purge"].run() or "0 accounts"
    return int(result.removesuffix(" accounts"))


def create_dependents(client, number=7):
    """Create a session, gadgets and a chore about each gadget for an account."""
    client.get("/api/v1/auth/request-token")
    for _ in range(number):
        gadget = client.post(GADGETS, json=LAMP).json
        client.post("/api/v1/sample_chores/", json={**CHORE, "gadget": gadget["id"]})


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


def leave(app, client, **ago):
    """Delete an account, this long ago."""
    id = client.get(ACCOUNT).json["id"]
    assert client.delete(ACCOUNT).status_code == 204
    with app.app_context(), unit_of_work():
        long_ago = {"deleted_at": now() - timedelta(**ago)}
        sql.session.execute(sql.update(User).where(User.id == id).values(long_ago))
    return id


@pytest.fixture
def in_parts(monkeypatch):
    """Delete two rows of each table in a batch."""
    monkeypatch.setattr(batches, "DELETE_BATCH_ROWS", 2)


def test_a_purge_deletes_an_account_with_all_that_it_owns(app, admin, in_parts):
    create_dependents(admin)
    before = rows(app)
    create_dependents(gardener := signed_in_client(app, "gardener"))
    id = leave(app, gardener, days=29, hours=23)
    kept = rows(app)
    assert sweep(app) == 0
    assert rows(app) == kept
    create_dependents(helper := signed_in_client(app, "helper"), 2)
    leave(app, helper, days=30, minutes=1)
    assert sweep(app) == 1
    assert rows(app) == kept
    with app.app_context(), unit_of_work():
        long_ago = {"deleted_at": now() - timedelta(days=31)}
        sql.session.execute(sql.update(User).where(User.id == id).values(long_ago))
    assert sweep(app) == 1
    assert rows(app) == before
    assert sweep(app) == 0
    items = admin.get("/api/v1/audit/", query_string={"account_id": id}).json["items"]
    assert {line["action"] for line in items} == {"signed in", "account deleted"}


def test_an_interrupted_purge_is_continued(live_app, in_parts):
    before = rows(live_app)
    create_dependents(gardener := signed_in_client(live_app, "gardener"))
    leave(live_app, gardener, days=31)
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
        sweep(live_app)
    left = rows(live_app)
    assert left["sample_gadgets"] - before["sample_gadgets"] == 3
    assert left["users"] - before["users"] == 1
    assert sweep(live_app) == 1
    assert rows(live_app) == before


def test_two_concurrent_purges_delete_an_account_once(live_app, in_parts):
    before = rows(live_app)
    create_dependents(gardener := signed_in_client(live_app, "gardener"))
    leave(live_app, gardener, days=31)
    create_dependents(as_account(live_app, "engineer"), 1)
    assert sum(at_once(*[partial(sweep, live_app)] * 3)) == 1
    left = rows(live_app)
    assert left["users"] == before["users"]
    owned = ("sample_gadgets", "sample_chores", "sessions")
    assert [left[table] for table in owned] == [1, 1, 1]
