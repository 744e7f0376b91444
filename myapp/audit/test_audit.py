from datetime import timedelta

import pytest

from conftest import SHARED_PASSWORD, signed_in_client
from support.assertions import assert_problem

from ..core.data.models.columns import now
from ..core.data.session import sql, unit_of_work
from ..core.jobs import schedule
from .models import AuditLine

AUDIT = "/api/v1/audit/"
ACCOUNT = "/api/v1/account"
AUTH = "/api/v1/auth"
USERS = "/api/v1/users/"
ROLES = "/api/v1/roles/"
HERE = {"REMOTE_ADDR": "192.0.2.1"}
NEW = "another one for it"


@pytest.fixture
def gardener(app):
    """Return a client that authenticates as gardener with HTTP Basic."""
    return signed_in_client(app, "gardener")


@pytest.fixture
def id(gardener):
    """Return the id of the account gardener."""
    return gardener.get(ACCOUNT).json["id"]


@pytest.fixture
def new_events(admin):
    """Return a function that returns the new lines since its last call."""
    seen = set()

    def read_new_events():
        items = admin.get(AUDIT, query_string={"per_page": 100}).json["items"]
        lines = [line for line in items if line["id"] not in seen]
        seen.update(line["id"] for line in lines)
        return lines

    read_new_events()
    return read_new_events


def sign_in(client, password=SHARED_PASSWORD, **kwargs):
    body = {"username": "gardener", "password": password}
    return client.post(f"{AUTH}/login", json=body, **kwargs)


def register(client, admin, id):
    body = {"username": "newcomer", "password": "just arrived"}
    return client.post(f"{AUTH}/register", json=body, environ_overrides=HERE)


def patch(**body):
    def patch(client, admin, id):
        return admin.patch(f"{USERS}{id}", json=body, environ_overrides=HERE)

    return patch


def add(client, admin, id):
    body = {"username": "newcomer", "password": "just arrived", "role": "manager"}
    return admin.post(USERS, json=body, environ_overrides=HERE)


def remove(client, admin, id):
    return admin.delete(f"{USERS}{id}", environ_overrides=HERE)


def leave(client, admin, id):
    return client.delete(ACCOUNT, environ_overrides=HERE)


def change_password(client, admin, id):
    body = {"password": NEW, "current_password": SHARED_PASSWORD}
    return client.patch(ACCOUNT, json=body, environ_overrides=HERE)


def log_in(client, admin, id):
    return sign_in(client.application.test_client(), environ_overrides=HERE)


def ask_for_a_token(client, admin, id):
    return client.get(f"{AUTH}/request-token", environ_overrides=HERE)


@pytest.mark.parametrize(
    "deed, action, actor, details",
    [
        (log_in, "signed in", "gardener", None),
        (ask_for_a_token, "signed in", "gardener", None),
        (register, "account created", "anonymous", "role=user"),
        (add, "account created", "chief", "role=manager"),
        (change_password, "password changed", "gardener", None),
        (patch(password=NEW), "password changed", "chief", None),
        (patch(role="Manager"), "role changed", "chief", "role=manager"),
        (patch(status="blocked"), "blocked", "chief", None),
        (remove, "account deleted", "chief", None),
        (leave, "account deleted", "gardener", None),
    ],
)
def test_each_event_of_an_account_is_a_line(
    admin, gardener, id, new_events, deed, action, actor, details
):
    answer = deed(gardener, admin, id)
    assert answer.status_code in (200, 201, 204)
    if answer.status_code == 201:
        id = answer.json["id"]
    (line,) = new_events()
    assert (line["action"], line["actor"], line["details"]) == (action, actor, details)
    assert (line["account_id"], line["address"]) == (id, "192.0.2.1")
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert admin.get(line["url"]).json == line


def test_a_change_of_several_properties_is_several_lines(admin, id, new_events):
    body = {"role": "manager", "status": "blocked", "password": NEW}
    admin.patch(f"{USERS}{id}", json=body)
    lines = {line["action"] for line in new_events()}
    assert lines == {"role changed", "blocked", "password changed"}
    admin.patch(f"{USERS}{id}", json={"status": "normal"})
    assert [line["action"] for line in new_events()] == ["unblocked"]


def test_a_request_that_changes_nothing_adds_no_line(admin, gardener, id, new_events):
    url = f"{USERS}{id}"
    admin.patch(url, json={"role": "USER", "status": "normal"})
    admin.put(url, json={"username": "gardener"})
    gardener.get(ACCOUNT)
    assert new_events() == []


def test_a_reused_refresh_token_adds_a_line_despite_the_401(app, id, new_events):
    pair = sign_in(app.test_client()).json
    headers = {"Authorization": f"Bearer {pair['refresh_token']}"}
    for status in (200, 401):
        answer = app.test_client().post(
            f"{AUTH}/refresh", headers=headers, environ_overrides=HERE
        )
        assert answer.status_code == status
    signed_in, theft = new_events()
    assert (theft["action"], theft["actor"]) == ("refresh token used twice", "unknown")
    assert (theft["account_id"], theft["address"]) == (id, "192.0.2.1")
    assert theft["request_id"] == answer.headers["X-Request-ID"]


def test_a_refused_request_adds_no_line(admin, gardener, id, new_events):
    me = f"{USERS}{admin.get(ACCOUNT).json['id']}"
    assert_problem(admin.patch(me, json={"role": "user"}), 409)
    assert_problem(admin.patch(me, json={"status": "blocked"}), 409)
    assert_problem(admin.delete(ACCOUNT), 409)
    body = {"role": "manager", "username": "pythonista"}
    assert_problem(admin.patch(f"{USERS}{id}", json=body), 409)
    assert_problem(gardener.patch(f"{USERS}{id}", json={"role": "admin"}), 403)
    assert new_events() == []


def test_a_line_keeps_the_username_of_the_actor(app, admin, id):
    admin.patch(f"{USERS}{id}", json={"status": "blocked"})
    admin.patch(ACCOUNT, json={"username": "boss"})
    reader = signed_in_client(app, "reader", "admin")
    query = {"sort": "-id", "per_page": 2}
    renamed, blocked = reader.get(AUDIT, query_string=query).json["items"]
    assert (renamed["action"], renamed["details"]) == ("renamed", "was=chief")
    assert (blocked["action"], blocked["actor"]) == ("blocked", "chief")


# Reading


def test_the_audit_trail_has_pages_and_filters(admin, id):
    before = admin.get(AUDIT).json["meta"]["total"]
    for status in ("blocked", "normal") * 2:
        admin.patch(f"{USERS}{id}", json={"status": status})
    page = admin.get(AUDIT, query_string={"per_page": 2, "page": 1}).json
    assert len(page["items"]) == 2
    assert page["meta"]["total"] == before + 4
    query = {"account_id": id, "action": "blocked", "actor": "chief", "sort": "-id"}
    items = admin.get(AUDIT, query_string=query).json["items"]
    assert [line["action"] for line in items] == ["blocked"] * 2
    assert items[0]["id"] > items[1]["id"]


@pytest.mark.parametrize(
    "permissions", [[], ["users:read", "roles:read"], ["users:write"], ["roles:write"]]
)
def test_the_audit_trail_requires_permissions(app, admin, permissions):
    line = admin.get(AUDIT, query_string={"sort": "-id"}).json["items"][0]
    admin.post(ROLES, json={"title": "curious", "permissions": permissions})
    curious = signed_in_client(app, "curious", "curious")
    assert_problem(curious.get(AUDIT), 403)
    assert_problem(curious.get(line["url"]), 403)
    assert admin.get(line["url"]).status_code == 200


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_audit_trail_is_read_only(admin, verb):
    line = admin.get(AUDIT).json["items"][0]
    for address in (AUDIT, line["url"]):
        assert_problem(admin.open(address, method=verb, json={}), 405)


def test_a_missing_line_is_404(admin):
    assert_problem(admin.get(f"{AUDIT}{2**62}"), 404)


# Old lines


def sweep(app):
    with app.app_context():
        return schedule.periodic_tasks()["audit.purge"].run()


def age(app, id, **by):
    """Make the lines of an account this old."""
    with app.app_context(), unit_of_work():
        lines = sql.update(AuditLine).where(AuditLine.account_id == id)
        sql.session.execute(lines.values(created_at=now() - timedelta(**by)))


def test_lines_are_deleted_after_a_year(app, admin, id, new_events):
    admin.patch(f"{USERS}{id}", json={"role": "manager", "status": "blocked"})
    age(app, id, days=364, hours=23)
    assert not sweep(app)
    assert len(new_events()) == 2
    before = lines_of_others(admin, id)
    age(app, id, days=365, minutes=1)
    assert sweep(app) == "2 audit lines"
    assert admin.get(AUDIT, query_string={"account_id": id}).json["items"] == []
    assert lines_of_others(admin, id) == before
    assert not sweep(app)


def lines_of_others(admin, id):
    lines = admin.get(AUDIT, query_string={"per_page": 100}).json["items"]
    return [line for line in lines if line["account_id"] != id]


def test_the_age_of_deleted_lines_is_a_setting(app, admin, id):
    admin.patch(f"{USERS}{id}", json={"role": "manager"})
    age(app, id, days=2000)
    app.config["AUDIT_DAYS"] = 0
    assert not sweep(app), "0 keeps all lines"
    app.config["AUDIT_DAYS"] = 2001
    assert not sweep(app)
    app.config["AUDIT_DAYS"] = 1999
    assert sweep(app) == "1 audit lines"
