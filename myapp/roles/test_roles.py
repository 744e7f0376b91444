import pytest

from conftest import signed_in_client
from support.accounts import ACCOUNT, ROLES, USERS, pointers, url_of
from support.assertions import assert_problem
from support.concurrency import at_once
from support.discovery import API

from ..core.data.session import unit_of_work
from ..core.security.permissions import PERMISSIONS
from .models import Role, builtin_roles

AUDITOR = {"title": "Auditor", "permissions": ["users:write", "users:read"]}


def read_roles(client):
    """Return the roles by title."""
    return {role["title"]: role for role in client.get(ROLES).json["items"]}


@pytest.fixture
def auditor(admin):
    """Add a role as admin, and return it."""
    return admin.post(ROLES, json=AUDITOR).json


# Built-in roles


def test_three_roles_are_built_in(admin):
    roles = read_roles(admin).values()
    assert [(r["title"], r["default"], r["permissions"]) for r in roles] == [
        ("user", True, []),
        ("manager", False, [name for name in PERMISSIONS if name.endswith("read_all")]),
        ("admin", False, list(PERMISSIONS)),
    ]


def test_roles_follow_the_permissions_of_new_and_removed_features(app, admin, auditor):
    new, removed = PERMISSIONS[0], "boats:read_all"
    with app.app_context(), unit_of_work():
        Role.by_title("admin").permissions = [*PERMISSIONS[1:], removed]
        Role.by_title("manager").permissions = ["roles:read"]  # on purpose
        Role.by_title("Auditor").permissions = [removed, *auditor["permissions"]]
    with app.app_context(), unit_of_work():
        Role.ensure_builtin_roles()
    roles = read_roles(admin)
    assert set(roles["admin"]["permissions"]) == set(PERMISSIONS)
    theirs = ["roles:read", *({new} & set(builtin_roles()["manager"]))]
    assert roles["manager"]["permissions"] == theirs
    assert roles["user"]["permissions"] == []
    assert roles["Auditor"]["permissions"] == auditor["permissions"]
    changed = admin.patch(auditor["url"], json={"title": "Reviewer"})
    assert changed.json["permissions"] == auditor["permissions"]


# Adding, changing, removing


def test_a_role_is_added_replaced_changed_in_part_and_removed(admin):
    role = admin.post(ROLES, json=AUDITOR).json
    assert (role["title"], role["default"]) == ("Auditor", False)
    assert role["permissions"] == ["users:read", "users:write"]
    body = {"title": "Inspector", "permissions": ["roles:read"]}
    replaced = admin.put(role["url"], json=body).json
    assert replaced.items() >= body.items()
    assert admin.get(role["url"]).json == replaced
    renamed = admin.patch(role["url"], json={"title": "inspector"}).json
    assert (renamed["title"], renamed["permissions"]) == ("inspector", ["roles:read"])
    emptied = admin.patch(role["url"], json={"permissions": []}).json
    assert (emptied["title"], emptied["permissions"]) == ("inspector", [])
    assert admin.delete(role["url"]).status_code == 204
    assert_problem(admin.get(role["url"]), 404)
    assert "inspector" not in read_roles(admin)


@pytest.mark.parametrize(
    "permissions, fault",
    [
        (["users:fire"], "/permissions/0"),
        (["users:read", "USERS:READ"], "/permissions/1"),
        (["users:read", "users:read"], "/permissions"),
    ],
)
def test_an_unknown_or_repeated_permission_is_422(admin, permissions, fault):
    before = read_roles(admin)
    body = {**AUDITOR, "permissions": permissions}
    assert pointers(admin.post(ROLES, json=body)) == [fault]
    assert read_roles(admin) == before


@pytest.mark.parametrize("title", ["Auditor", "AUDITOR", "auditor"])
def test_a_title_that_is_taken_in_any_case_is_409(admin, auditor, title):
    manager = read_roles(admin)["manager"]
    added = admin.post(ROLES, json={**AUDITOR, "title": title})
    for refused in (added, admin.patch(manager["url"], json={"title": title})):
        assert assert_problem(refused, 409)["detail"] == "The title is taken."
    assert admin.patch(auditor["url"], json={"title": title}).status_code == 200


def test_a_title_has_the_same_maximum_length_in_every_script(admin):
    for letter in ("a", "\N{LATIN SMALL LETTER SHARP S}", "\N{GREEK SMALL LETTER PSI}"):
        response = admin.post(ROLES, json={**AUDITOR, "title": letter * 64})
        assert response.status_code == 201
        assert response.json["title"] == letter * 64


# The default


def defaults(client):
    return [title for title, role in read_roles(client).items() if role["default"]]


def test_a_new_default_replaces_the_former_one(admin, stranger, auditor):
    response = admin.post(ROLES, json={**AUDITOR, "title": "guest", "default": True})
    assert response.json["default"] is True
    assert defaults(admin) == ["guest"]
    assert admin.patch(auditor["url"], json={"default": True}).status_code == 200
    assert defaults(admin) == ["Auditor"]
    body = {"username": "newcomer", "password": "just arrived"}
    added = stranger.post(f"{API}/auth/register", json=body)
    assert added.json["role"] == "Auditor"


def test_there_is_always_a_default(admin):
    url, body = read_roles(admin)["user"]["url"], {"title": "user", "permissions": []}
    refused = assert_problem(admin.delete(url), 409)
    assert refused["detail"] == "This is the default role."
    assert_problem(admin.patch(url, json={"default": False}), 409)
    assert_problem(admin.put(url, json=body), 409)
    assert defaults(admin) == ["user"]
    assert admin.put(url, json={**body, "default": True}).status_code == 200


def test_of_two_concurrent_new_defaults_one_remains(live_app):
    def add(title):
        client = signed_in_client(live_app, f"deputy-{title}", "admin")
        client.get(ROLES)
        body = {**AUDITOR, "title": title, "default": True}
        return lambda: client.post(ROLES, json=body).status_code

    assert at_once(*map(add, ("one", "two", "three"))) == [201] * 3
    assert len(defaults(signed_in_client(live_app, "reader", "admin"))) == 1


# Accounts with a role


def test_a_role_that_is_in_use_cannot_be_removed(app, admin, auditor):
    member = signed_in_client(app, "member", "Auditor")
    assert_problem(admin.delete(auditor["url"]), 409)
    assert member.get(ACCOUNT).json["role"] == "Auditor"
    admin.patch(url_of(member), json={"role": "user"})
    assert admin.delete(auditor["url"]).status_code == 204


def test_a_changed_role_affects_its_accounts(app, admin, auditor):
    member = signed_in_client(app, "member", "Auditor")
    assert member.get(USERS).status_code == 200
    body = {"title": "Inspector", "permissions": ["roles:read"]}
    admin.patch(auditor["url"], json=body)
    assert_problem(member.get(USERS), 403)
    assert member.get(ROLES).status_code == 200
    assert member.get(ACCOUNT).json["role"] == "Inspector"
    admin.put(auditor["url"], json=AUDITOR)
    assert member.get(USERS).status_code == 200


def test_the_role_of_the_last_admin_keeps_its_permissions(app, admin):
    role = read_roles(admin)["admin"]
    less = [name for name in PERMISSIONS if name != "roles:read"]
    body = {"title": "owner", "permissions": less}
    another = {"title": "another", "permissions": list(PERMISSIONS)}
    assert admin.post(ROLES, json=another).status_code == 201
    for verb in ("PUT", "PATCH"):  # no account has the other role yet
        assert_problem(admin.open(role["url"], method=verb, json=body), 409)
    assert admin.get(role["url"]).json == role
    assert admin.patch(role["url"], json={"title": "owner"}).status_code == 200
    signed_in_client(app, "deputy", "another")
    assert admin.patch(role["url"], json=body).status_code == 200
