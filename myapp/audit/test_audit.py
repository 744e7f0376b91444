import pytest

from conftest import SHARED_PASSWORD, signed_in_client
from support.accounts import (
    ACCOUNT,
    AUDIT,
    HERE,
    NEW_PASSWORD,
    USERS,
    purge,
    refresh,
    set_age,
    url_of,
)
from support.assertions import assert_problem
from support.discovery import API

from .models import AuditLine

LOGIN = {"username": "gardener", "password": SHARED_PASSWORD}
COOK = {"username": "cook", "password": "just arrived"}
FROM_HERE = {"REMOTE_ADDR": HERE}
MANAGER = {"role": "Manager"}
NEW = {"password": NEW_PASSWORD}
CONFIRMED = {**NEW, "current_password": SHARED_PASSWORD}


@pytest.fixture
def id(gardener):
    """Return the id of the account gardener."""
    return gardener.get(ACCOUNT).json["id"]


@pytest.fixture
def url(id):
    return f"{USERS}{id}"


@pytest.fixture
def new_events(admin):
    """Return a function that returns the new lines since its last call."""
    seen = []

    def read_new_events():
        items = admin.get(AUDIT, query_string={"per_page": 100}).json["items"]
        lines = items[len(seen) :]
        seen.extend(lines)
        return lines

    read_new_events()
    return read_new_events


DEEDS = [
    ("stranger POST auth/login", LOGIN, "signed in", "gardener", None),
    ("gardener GET auth/request-token", None, "signed in", "gardener", None),
    ("stranger POST auth/register", COOK, "account created", "anonymous", "role=user"),
    ("admin POST users/", COOK, "account created", "chief", "role=user"),
    ("gardener PATCH account", CONFIRMED, "password changed", "gardener", None),
    ("admin PATCH users/{}", NEW, "password changed", "chief", None),
    ("admin PATCH users/{}", MANAGER, "role changed", "chief", "role=manager"),
    ("admin PATCH users/{}", {"status": "blocked"}, "blocked", "chief", None),
    ("admin DELETE users/{}", None, "account deleted", "chief", None),
    ("gardener DELETE account", None, "account deleted", "gardener", None),
]


@pytest.mark.parametrize("deed, body, action, actor, details", DEEDS)
def test_each_event_of_an_account_is_a_line(
    request, admin, id, new_events, deed, body, action, actor, details
):
    fixture, verb, path = deed.split()
    answer = request.getfixturevalue(fixture).open(
        f"{API}/{path.format(id)}", method=verb, json=body, environ_overrides=FROM_HERE
    )
    assert answer.status_code in (200, 201, 204)
    (line,) = new_events()
    assert (line["action"], line["actor"], line["details"]) == (action, actor, details)
    assert line["account_id"] == (answer.json["id"] if body is COOK else id)
    assert line["address"] == HERE
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert admin.get(line["url"]).json == line


def test_a_reused_refresh_token_adds_a_line_despite_the_401(
    stranger, pair, id, new_events
):
    token, environ = pair["refresh_token"], {"environ_overrides": FROM_HERE}
    answers = [refresh(stranger, token, **environ) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 401]
    (theft,) = new_events()
    assert (theft["action"], theft["actor"]) == ("refresh token used twice", "unknown")
    assert (theft["account_id"], theft["address"]) == (id, HERE)
    assert theft["request_id"] == answers[1].headers["X-Request-ID"]


def test_each_changed_property_is_a_line_and_an_equal_value_is_none(
    admin, gardener, url, new_events
):
    admin.patch(url, json={"role": "manager", "status": "blocked", **NEW})
    lines = {line["action"] for line in new_events()}
    assert lines == {"role changed", "blocked", "password changed"}
    admin.patch(url, json={"status": "normal"})
    assert [line["action"] for line in new_events()] == ["unblocked"]
    admin.patch(url, json={"role": "MANAGER", "status": "normal"})
    admin.put(url, json={"username": "gardener"})
    gardener.get(ACCOUNT)
    assert new_events() == []


def test_a_refused_request_adds_no_line(admin, gardener, url, new_events):
    me, taken = url_of(admin), {"role": "manager", "username": "pythonista"}
    assert_problem(admin.patch(me, json={"role": "user"}), 409)
    assert_problem(admin.patch(me, json={"status": "blocked"}), 409)
    assert_problem(admin.delete(ACCOUNT), 409)
    assert_problem(admin.patch(url, json=taken), 409)
    assert_problem(gardener.patch(url, json={"role": "admin"}), 403)
    assert new_events() == []


def test_a_line_keeps_the_username_of_the_actor(app, admin, url):
    admin.patch(url, json={"status": "blocked"})
    admin.patch(ACCOUNT, json={"username": "boss"})
    reader = signed_in_client(app, "reader", "admin")
    query = {"sort": "-id", "per_page": 2}
    renamed, blocked = reader.get(AUDIT, query_string=query).json["items"]
    assert (renamed["action"], renamed["details"]) == ("renamed", "was=chief")
    assert (blocked["action"], blocked["actor"]) == ("blocked", "chief")


def test_the_audit_trail_is_filtered_and_sorted(admin, id, url):
    for status in ("blocked", "normal") * 2:
        admin.patch(url, json={"status": status})
    query = {"account_id": id, "action": "blocked", "actor": "chief", "sort": "-id"}
    items = admin.get(AUDIT, query_string=query).json["items"]
    assert [line["action"] for line in items] == ["blocked"] * 2
    assert items[0]["id"] > items[1]["id"]


@pytest.mark.parametrize(
    "setting, age, number",
    [
        (None, {"days": 364, "hours": 23}, 0),
        (None, {"days": 365, "minutes": 1}, 2),
        (0, {"days": 2000}, 0),  # 0 keeps all lines
        (2001, {"days": 2000}, 0),
        (1999, {"days": 2000}, 2),
    ],
)
def test_lines_are_deleted_after_a_year_or_as_set(
    app, admin, id, url, setting, age, number
):
    if setting is not None:
        app.config["AUDIT_DAYS"] = setting
    total = admin.get(AUDIT).json["meta"]["total"]
    admin.patch(url, json={"role": "manager", "status": "blocked"})
    set_age(app, AuditLine.created_at, AuditLine.account_id == id, **age)
    assert purge(app, "audit") == (f"{number} audit lines" if number else "0")
    left = admin.get(AUDIT, query_string={"account_id": id}).json["items"]
    assert len(left) == 2 - number
    assert admin.get(AUDIT).json["meta"]["total"] == total + 2 - number
    assert purge(app, "audit") == "0"
