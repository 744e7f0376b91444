from functools import partial

import pytest

from conftest import PASSWORDS, SHARED_PASSWORD, basic, signed_in_client

ACCOUNT = "/api/v1/account"
USERS = "/api/v1/users/"
ROLES = "/api/v1/roles/"
AUDIT = "/api/v1/audit/"
NEW = "green fingers"
LAST = "Error: At least one account must have all permissions.\n"


def account(app, username, password):
    """Return the account of these credentials, or None."""
    headers = {"Authorization": basic(username, password)}
    answer = app.test_client().get(ACCOUNT, headers=headers)
    return answer.json if answer.status_code == 200 else None


@pytest.fixture
def flask(app):
    """Return a function that runs a `flask` command with a standard input."""

    def flask(*words, input=None, of=app):
        return of.test_cli_runner().invoke(args=words, input=input)

    return flask


def output_of(result, code=0):
    """Return the output of a command, which must end with this code."""
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


# adduser


def test_an_account_is_added_with_a_password_from_standard_input(app, flask):
    output = output_of(flask("adduser", "Gardener", input=f"{NEW}\n"))
    assert output == "Gardener was added, as user.\n"
    assert account(app, "gardener", NEW)["role"] == "user"


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\nand more\n"])
def test_a_password_is_the_whole_first_line(app, flask, end):
    output_of(flask("adduser", "gardener", input=f"  {NEW}  {end}"))
    assert account(app, "gardener", f"  {NEW}  ")
    assert account(app, "gardener", NEW) is None


def test_an_account_is_added_with_a_role_in_any_case(app, flask):
    output = output_of(flask("adduser", "gardener", "--role", "ADMIN", input=NEW))
    assert output == "gardener was added, as admin.\n"
    assert account(app, "gardener", NEW)["role"] == "admin"


def test_adding_an_existing_account_changes_nothing(app, flask):
    output_of(flask("adduser", "gardener", "--role", "manager", input=NEW))
    before = account(app, "gardener", NEW)
    output = output_of(flask("adduser", "GARDENER", input="another password"))
    assert output == "gardener exists already, as manager.\n"
    assert account(app, "gardener", NEW) == before


def test_adding_an_existing_account_with_a_role_sets_the_role(app, flask):
    signed_in_client(app, "gardener")
    output = output_of(flask("adduser", "gardener", "--role", "admin", input=""))
    assert output == "gardener exists already, as admin.\n"
    assert account(app, "gardener", SHARED_PASSWORD)["role"] == "admin"


@pytest.mark.parametrize(
    "name, password, faults",
    [
        ("a b", NEW, ["username"]),
        ("ab", NEW, ["username"]),
        ("a" * 65, NEW, ["username"]),
        ("gärtner", NEW, ["username"]),
        ("gardener", "secret1", ["password"]),
        ("gardener", "", ["password"]),
        ("gardener", "secret1" * 19, ["password"]),
        ("a b", "secret1", ["password", "username"]),
    ],
)
def test_an_invalid_account_is_reported_and_not_added(
    flask, admin, name, password, faults
):
    before = admin.get(USERS).json["meta"]["total"]
    output = output_of(flask("adduser", name, input=password), 1)
    assert output.startswith("Error: ")
    assert sorted(part.split(":")[0] for part in output[7:].split("; ")) == faults
    assert "secret1" not in output
    assert "Traceback" not in output
    assert admin.get(USERS).json["meta"]["total"] == before


@pytest.mark.parametrize("name", ["newcomer", "gardener"])
def test_a_missing_role_is_reported(app, flask, name):
    signed_in_client(app, "gardener")
    output = output_of(flask("adduser", name, "--role", "duke", input=NEW), 1)
    assert output == "Error: role: There is no role with this title.\n"
    assert account(app, "gardener", SHARED_PASSWORD)["role"] == "user"
    assert account(app, "newcomer", NEW) is None


def test_the_last_admin_cannot_get_another_role(app, flask, admin):
    assert output_of(flask("adduser", "chief", "--role", "user"), 1) == LAST
    assert admin.get(USERS).status_code == 200


# passwd


def test_a_new_password_is_valid_and_ends_the_sessions(app, flask):
    client = signed_in_client(app, "gardener")
    body = {"username": "gardener", "password": SHARED_PASSWORD}
    token = client.post("/api/v1/auth/login", json=body).json["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert client.get(ACCOUNT, headers=headers).status_code == 200
    output = output_of(flask("passwd", "GARDENER", input=f"{NEW}\n"))
    assert output == "gardener has a new password.\n"
    assert account(app, "gardener", NEW)
    assert account(app, "gardener", SHARED_PASSWORD) is None
    assert client.get(ACCOUNT, headers=headers).status_code == 401


def test_a_new_password_keeps_a_block_and_a_role(app, flask, admin):
    signed_in_client(app, "gardener", "manager")
    output_of(flask("block", "gardener"))
    output_of(flask("passwd", "gardener", input=NEW))
    (items,) = admin.get(USERS, query_string={"username": "gardener"}).json["items"]
    assert (items["role"], items["status"]) == ("manager", "blocked")


def test_an_invalid_password_is_reported_and_the_old_one_stays(app, flask):
    signed_in_client(app, "gardener")
    output = output_of(flask("passwd", "gardener", input="secret1"), 1)
    assert output.startswith("Error: password: ")
    assert "secret1" not in output
    assert account(app, "gardener", SHARED_PASSWORD)


# block


def test_a_blocked_account_cannot_sign_in_until_it_is_unblocked(app, flask):
    signed_in_client(app, "gardener")
    assert account(app, "gardener", SHARED_PASSWORD)
    assert output_of(flask("block", "Gardener")) == "gardener is blocked now.\n"
    assert account(app, "gardener", SHARED_PASSWORD) is None
    assert (
        output_of(flask("block", "gardener", "--undo")) == "gardener is normal now.\n"
    )
    assert account(app, "gardener", SHARED_PASSWORD)


def test_the_last_admin_cannot_be_blocked(app, flask, admin):
    assert output_of(flask("block", "chief"), 1) == LAST
    assert admin.get(ACCOUNT).json["status"] == "normal"
    signed_in_client(app, "deputy", "admin")
    output_of(flask("block", "chief"))
    assert admin.get(ACCOUNT).status_code == 401


@pytest.mark.parametrize("command", ["passwd", "block"])
def test_a_missing_account_is_reported(app, flask, command):
    signed_in_client(app, "gone").delete(ACCOUNT)
    for name in ("unknown", "gone"):
        output = output_of(flask(command, name, input=NEW), 1)
        assert output == f"Error: There is no account {name}.\n"


# users


def test_accounts_are_listed_without_deleted_ones(app, flask):
    signed_in_client(app, "gone").delete(ACCOUNT)
    signed_in_client(app, "gardener", "manager")
    output_of(flask("block", "gardener"))
    rows = [line.split() for line in output_of(flask("users")).splitlines()]
    assert [row[1:] for row in rows] == [
        ["pythonista", "user", "normal"],
        ["engineer", "user", "normal"],
        ["gardener", "manager", "blocked"],
    ]
    assert rows[1][0] == str(account(app, "engineer", PASSWORDS["engineer"])["id"])


def test_the_commands_are_audited(app, flask, admin):
    output_of(flask("adduser", "gardener", input=NEW))
    output_of(flask("block", "gardener"))
    query = {"sort": "-id", "per_page": 2}
    lines = admin.get(AUDIT, query_string=query).json["items"]
    assert [line["action"] for line in lines] == ["blocked", "account created"]
    for line in lines:
        assert line["actor"] == "command line"
        assert line["address"] is line["request_id"] is None


# deploy


@pytest.fixture
def bare(make_app, empty_uri):
    """Return an application with an empty database."""
    return partial(make_app, SQLALCHEMY_DATABASE_URI=empty_uri)


def test_deploy_creates_the_first_admin_once(bare, flask):
    password = "quite its own"
    app = bare(AUTH_USERNAME1="chief", AUTH_PASSWORD1=password)
    output = output_of(flask("deploy", of=app))
    assert output.endswith("Ready. chief is the first admin.\n")
    first = account(app, "chief", password)
    assert first["role"] == "admin"
    headers = {"Authorization": basic("chief", password)}
    roles = app.test_client().get(ROLES, headers=headers).json
    assert output_of(flask("deploy", of=app)).endswith("Ready.\n")
    assert app.test_client().get(ROLES, headers=headers).json == roles
    assert output_of(flask("users", of=app)).count("\n") == 1
    assert account(app, "chief", password) == first


def test_a_demo_account_does_not_become_admin(bare, flask):
    app = bare(AUTH_USERNAME1="pythonista", AUTH_PASSWORD1=PASSWORDS["pythonista"])
    assert "Ready, without an admin" in output_of(flask("deploy", of=app))
    assert output_of(flask("users", of=app)) == ""


def test_an_existing_account_becomes_the_first_admin_unchanged(bare, flask):
    app = bare(AUTH_USERNAME1=None, AUTH_USERNAME2=None)
    output = output_of(flask("deploy", of=app))
    assert output.endswith("Ready, without an admin: flask adduser NAME --role admin\n")
    assert output_of(flask("users", of=app)) == ""
    signed_in_client(app, "Gardener")
    app = bare(AUTH_USERNAME1="gardener", AUTH_PASSWORD1="not its password")
    assert "gardener is the first admin" in output_of(flask("deploy", of=app))
    assert account(app, "gardener", SHARED_PASSWORD)["role"] == "admin"
    assert account(app, "gardener", "not its password") is None
