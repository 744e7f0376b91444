import pytest

from conftest import signed_in_client
from support.assertions import assert_problem
from support.concurrency import at_once

from ..core.data.session import unit_of_work
from ..core.security.permissions import PERMISSIONS
from .models import Role, builtin_roles

ROLES = "/api/v1/roles/"
USERS = "/api/v1/users/"
ACCOUNT = "/api/v1/account"
REGISTER = "/api/v1/auth/register"
AUDITOR = {"title": "Auditor", "permissions": ["users:write", "users:read"]}


def titles(client):
    return [role["title"] for role in client.get(ROLES).json["items"]]


def pointers(response):
    problem = assert_problem(response, 422)
    return sorted({error["pointer"] for error in problem["errors"]})


def role_by_title(client, title):
    """Return the role with this title."""
    (role,) = client.get(ROLES, query_string={"title": title}).json["items"]
    return role


@pytest.fixture
def auditor(admin):
    """Add a role as admin, and return it."""
    return admin.post(ROLES, json=AUDITOR).json


@pytest.fixture
def keeper(app, admin):
    """Return a client with the permissions to change roles."""
    body = {"title": "keeper", "permissions": ["roles:read", "roles:write"]}
    assert admin.post(ROLES, json=body).status_code == 201
    return signed_in_client(app, "rolf", "keeper")


# Adding, reading, changing, removing


def test_three_roles_are_built_in(admin):
    roles = admin.get(ROLES).json["items"]
    assert [(r["title"], r["default"], r["permissions"]) for r in roles] == [
        ("user", True, []),
        ("manager", False, [name for name in PERMISSIONS if name.endswith("read_all")]),
        ("admin", False, list(PERMISSIONS)),
    ]


def test_permissions_of_a_new_feature_are_added_to_the_built_in_roles(app, admin):
    new = PERMISSIONS[0]
    with app.app_context(), unit_of_work():
        Role.by_title("admin").permissions = list(PERMISSIONS[1:])
        Role.by_title("manager").permissions = ["roles:read"]  # on purpose
        Role.ensure_builtin_roles()
    assert set(role_by_title(admin, "admin")["permissions"]) == set(PERMISSIONS)
    theirs = ["roles:read", *({new} & set(builtin_roles()["manager"]))]
    assert role_by_title(admin, "manager")["permissions"] == theirs
    assert role_by_title(admin, "user")["permissions"] == []


def test_a_permission_of_a_removed_feature_leaves_every_role(app, admin, auditor):
    with app.app_context(), unit_of_work():
        role = Role.by_title(auditor["title"])
        role.permissions = ["boats:read_all", *auditor["permissions"]]
        Role.by_title("admin").permissions = [*PERMISSIONS, "boats:read_all"]
    with app.app_context(), unit_of_work():
        Role.ensure_builtin_roles()
    read = admin.get(auditor["url"])
    assert read.json["permissions"] == auditor["permissions"]
    assert set(role_by_title(admin, "admin")["permissions"]) == set(PERMISSIONS)
    changed = admin.patch(auditor["url"], json={"title": "Reviewer"})
    assert changed.json["permissions"] == auditor["permissions"]


def test_a_role_is_added_and_read(admin):
    response = admin.post(ROLES, json=AUDITOR)
    assert response.status_code == 201
    assert response.headers["Location"] == response.json["url"]
    assert response.json["title"] == "Auditor"
    assert response.json["default"] is False
    assert response.json["permissions"] == ["users:read", "users:write"]
    read = admin.get(response.json["url"])
    assert read.json == response.json
    assert read.headers["ETag"] == response.headers["ETag"]


def test_a_role_is_replaced(admin, auditor):
    body = {"title": "Inspector", "permissions": ["roles:read"]}
    changed = admin.put(auditor["url"], json=body)
    assert changed.status_code == 200
    assert changed.json.items() >= body.items()
    assert admin.get(auditor["url"]).json == changed.json


def test_a_role_is_changed_in_part(admin, auditor):
    changed = admin.patch(auditor["url"], json={"title": "auditor"}).json
    assert changed["title"] == "auditor"
    assert changed["permissions"] == auditor["permissions"]
    changed = admin.patch(auditor["url"], json={"permissions": []}).json
    assert (changed["title"], changed["permissions"]) == ("auditor", [])


def test_a_role_is_removed(admin, auditor):
    assert admin.delete(auditor["url"]).status_code == 204
    assert_problem(admin.get(auditor["url"]), 404)
    assert "Auditor" not in titles(admin)


@pytest.mark.parametrize("verb", ["PUT", "PATCH", "DELETE"])
def test_a_stale_etag_changes_nothing(admin, auditor, verb):
    stale = admin.get(auditor["url"]).headers["ETag"]
    changed = admin.patch(auditor["url"], json={"permissions": []})
    body = {"json": AUDITOR} if verb != "DELETE" else {}
    headers = {"If-Match": stale}
    late = admin.open(auditor["url"], method=verb, headers=headers, **body)
    assert_problem(late, 412)
    assert admin.get(auditor["url"]).json == changed.json


@pytest.mark.parametrize("verb", ["GET", "PUT", "PATCH", "DELETE"])
def test_a_missing_role_is_404(admin, verb):
    body = {"json": AUDITOR} if verb in ("PUT", "PATCH") else {}
    assert_problem(admin.open(f"{ROLES}4711", method=verb, **body), 404)


@pytest.mark.parametrize("role", ["user", "manager"])
@pytest.mark.parametrize("verb", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_roles_require_permissions(app, admin, auditor, role, verb):
    member = signed_in_client(app, "member", role)
    addresses = [ROLES] if verb == "POST" else [auditor["url"]]
    if verb == "GET":
        addresses.append(ROLES)
    for address in addresses:
        body = {} if verb == "GET" else {"json": AUDITOR}
        assert_problem(member.open(address, method=verb, **body), 403)
    assert admin.get(auditor["url"]).json == auditor


# Invalid input


@pytest.mark.parametrize(
    "body, faults",
    [
        ({}, ["/permissions", "/title"]),
        ({"title": "", "permissions": None}, ["/permissions", "/title"]),
        ({**AUDITOR, "title": "a" * 65}, ["/title"]),
        ({**AUDITOR, "permissions": ["users:fire"]}, ["/permissions/0"]),
        ({**AUDITOR, "permissions": ["users:read", "USERS:READ"]}, ["/permissions/1"]),
        ({**AUDITOR, "permissions": ["users:read", "users:read"]}, ["/permissions"]),
        ({**AUDITOR, "permissions": "users:read"}, ["/permissions"]),
        ({**AUDITOR, "default": "yes", "id": 7}, ["/default", "/id"]),
    ],
)
def test_an_invalid_role_is_422_with_every_error(admin, body, faults):
    before = titles(admin)
    assert pointers(admin.post(ROLES, json=body)) == faults
    assert titles(admin) == before


@pytest.mark.parametrize("title", ["Auditor", "AUDITOR", "auditor"])
def test_a_title_that_is_taken_in_any_case_is_409(admin, auditor, title):
    assert_problem(admin.post(ROLES, json={**AUDITOR, "title": title}), 409)
    manager = role_by_title(admin, "manager")
    assert_problem(admin.patch(manager["url"], json={"title": title}), 409)
    assert admin.patch(auditor["url"], json={"title": title}).status_code == 200


def test_a_title_has_the_same_maximum_length_in_every_script(admin):
    for letter in ("a", "\N{LATIN SMALL LETTER SHARP S}", "\N{GREEK SMALL LETTER PSI}"):
        response = admin.post(ROLES, json={**AUDITOR, "title": letter * 64})
        assert response.status_code == 201
        assert response.json["title"] == letter * 64


# The default


def defaults(client):
    return [r["title"] for r in client.get(ROLES).json["items"] if r["default"]]


def test_a_new_default_replaces_the_former_one(admin, stranger, auditor):
    assert defaults(admin) == ["user"]
    response = admin.post(ROLES, json={**AUDITOR, "title": "guest", "default": True})
    assert response.json["default"] is True
    assert defaults(admin) == ["guest"]
    assert admin.patch(auditor["url"], json={"default": True}).status_code == 200
    assert defaults(admin) == ["Auditor"]
    body = {"username": "newcomer", "password": "just arrived"}
    assert stranger.post(REGISTER, json=body).json["role"] == "Auditor"


def test_there_is_always_a_default(admin):
    user = role_by_title(admin, "user")
    assert_problem(admin.delete(user["url"]), 409)
    assert_problem(admin.patch(user["url"], json={"default": False}), 409)
    body = {"title": "user", "permissions": []}
    assert_problem(admin.put(user["url"], json=body), 409)
    assert defaults(admin) == ["user"]
    assert admin.put(user["url"], json={**body, "default": True}).status_code == 200


def test_of_two_concurrent_new_defaults_one_remains(live_app):
    signed_in_client(live_app, "chief", "admin")

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
    url = f"{USERS}{member.get(ACCOUNT).json['id']}"
    admin.patch(url, json={"role": "user"})
    assert admin.delete(auditor["url"]).status_code == 204


def test_a_changed_role_affects_its_accounts(app, admin, auditor):
    member = signed_in_client(app, "member", "Auditor")
    assert member.get(USERS).status_code == 200
    admin.patch(auditor["url"], json={"permissions": ["roles:read"]})
    assert_problem(member.get(USERS), 403)
    assert member.get(ROLES).status_code == 200
    admin.put(auditor["url"], json=AUDITOR)
    assert member.get(USERS).status_code == 200


def test_an_account_shows_the_new_title_of_its_role(app, admin, auditor):
    member = signed_in_client(app, "member", "Auditor")
    admin.patch(auditor["url"], json={"title": "Inspector"})
    assert member.get(ACCOUNT).json["role"] == "Inspector"


# Escalation of privileges


def test_a_caller_cannot_grant_a_permission_that_it_lacks(admin, keeper):
    less = {"title": "less", "permissions": ["roles:read"]}
    response = keeper.post(ROLES, json=less)
    assert response.status_code == 201
    more = {**less, "permissions": ["roles:read", "users:read"]}
    assert_problem(keeper.post(ROLES, json={**more, "title": "more"}), 403)
    for verb in ("PUT", "PATCH"):
        assert_problem(keeper.open(response.json["url"], method=verb, json=more), 403)
    assert admin.get(response.json["url"]).json == response.json
    assert "more" not in titles(admin)


@pytest.mark.parametrize("title", ["Auditor", "admin"])
def test_a_caller_cannot_change_a_role_with_more_permissions(
    admin, keeper, auditor, title
):
    role = role_by_title(admin, title)
    body = {"title": title, "permissions": []}
    assert_problem(keeper.put(role["url"], json=body), 403)
    assert_problem(keeper.patch(role["url"], json={"permissions": []}), 403)
    assert_problem(keeper.patch(role["url"], json={"default": True}), 403)
    assert_problem(keeper.delete(role["url"]), 403)
    assert admin.get(role["url"]).json == role


def test_a_caller_cannot_raise_its_own_permissions(admin, keeper):
    own = role_by_title(admin, "keeper")
    everything = {"permissions": list(PERMISSIONS)}
    assert_problem(keeper.patch(own["url"], json=everything), 403)
    assert admin.get(own["url"]).json == own


# The last admin


def test_the_role_of_the_last_admin_keeps_its_permissions(admin):
    role = role_by_title(admin, "admin")
    less = [name for name in PERMISSIONS if name != "roles:read"]
    for verb in ("PUT", "PATCH"):
        body = {"title": "admin", "permissions": less}
        assert_problem(admin.open(role["url"], method=verb, json=body), 409)
    assert admin.get(role["url"]).json == role
    renamed = admin.patch(role["url"], json={"title": "owner"})
    assert renamed.status_code == 200


def test_the_admin_role_can_lose_a_permission_if_another_role_has_all(app, admin):
    everything = {"title": "owner", "permissions": list(PERMISSIONS)}
    assert admin.post(ROLES, json=everything).status_code == 201
    url, less = role_by_title(admin, "admin")["url"], {"permissions": ["roles:read"]}
    assert_problem(admin.patch(url, json=less), 409)  # no account has the other one yet
    signed_in_client(app, "owner", "owner")
    assert admin.patch(url, json=less).status_code == 200
