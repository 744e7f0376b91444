from functools import partial

import pytest

from conftest import PASSWORDS, SHARED_PASSWORD, basic, signed_in_client
from support.accounts import ACCOUNT, AUDIT, ROLES, USERS

NEW = "green fingers"


def account(app, username, password):
    """Return the account of these credentials, or None."""
    headers = {"Authorization": basic(username, password)}
    answer = app.test_client().get(ACCOUNT, headers=headers)
    return answer.json if answer.status_code == 200 else None


@pytest.fixture
def flask(app):
    """Return a function that runs a `flask` command and returns its output.

    `input`: its standard input. The command must end with the exit code `code`.
    """

    def flask(*words, input=None, code=0, of=app):
        result = of.test_cli_runner().invoke(args=words, input=input)
        assert result.exit_code == code, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.output

    return flask


# adduser


@pytest.mark.parametrize(
    "options, role", [([], "user"), (["--role", "ADMIN"], "admin")]
)
def test_an_account_is_added_with_a_role_in_any_case(app, flask, options, role):
    output = flask("adduser", "Gardener", *options, input=f"{NEW}\n")
    assert output == f"Gardener was added, as {role}.\n"
    assert account(app, "gardener", NEW)["role"] == role


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\nand more\n"])
def test_a_password_is_the_whole_first_line(app, flask, end):
    flask("adduser", "gardener", input=f"  {NEW}  {end}")
    assert account(app, "gardener", f"  {NEW}  ")
    assert account(app, "gardener", NEW) is None


def test_adding_an_existing_account_changes_only_a_given_role(app, flask):
    signed_in_client(app, "gardener", "manager")
    before = account(app, "gardener", SHARED_PASSWORD)
    output = flask("adduser", "GARDENER", input="another password")
    assert output == "gardener exists already, as manager.\n"
    assert account(app, "gardener", SHARED_PASSWORD) == before
    output = flask("adduser", "gardener", "--role", "admin", input="")
    assert output == "gardener exists already, as admin.\n"
    assert account(app, "gardener", SHARED_PASSWORD)["role"] == "admin"


@pytest.mark.parametrize(
    "name, password, faults",
    [
        ("ab", NEW, ["username"]),
        ("gärtner", NEW, ["username"]),
        ("gardener", "", ["password"]),
        ("gardener", "secret1" * 19, ["password"]),
        ("a b", "secret1", ["password", "username"]),
    ],
)
def test_an_invalid_account_is_reported_and_not_added(
    flask, admin, name, password, faults
):
    before = admin.get(USERS).json["meta"]["total"]
    output = flask("adduser", name, input=password, code=1)
    assert output.startswith("Error: ")
    assert sorted(part.split(":")[0] for part in output[7:].split("; ")) == faults
    assert "secret1" not in output
    assert "Traceback" not in output
    assert admin.get(USERS).json["meta"]["total"] == before


@pytest.mark.parametrize("name", ["newcomer", "gardener"])
def test_a_missing_role_is_reported(app, flask, name):
    signed_in_client(app, "gardener")
    output = flask("adduser", name, "--role", "duke", input=NEW, code=1)
    assert output == "Error: role: There is no role with this title.\n"
    assert account(app, "gardener", SHARED_PASSWORD)["role"] == "user"
    assert account(app, "newcomer", NEW) is None


# passwd and block


def test_a_new_password_is_valid_and_ends_the_sessions(app, flask, session_client):
    assert session_client.get(ACCOUNT).status_code == 200
    output = flask("passwd", "GARDENER", input=f"{NEW}\n")
    assert output == "gardener has a new password.\n"
    assert account(app, "gardener", NEW)
    assert account(app, "gardener", SHARED_PASSWORD) is None
    assert session_client.get(ACCOUNT).status_code == 401


def test_an_invalid_password_is_reported_and_the_old_one_stays(app, flask, gardener):
    output = flask("passwd", "gardener", input="secret1", code=1)
    assert output.startswith("Error: password: ")
    assert "secret1" not in output
    assert account(app, "gardener", SHARED_PASSWORD)


def test_a_blocked_account_cannot_sign_in_until_it_is_unblocked(app, flask, gardener):
    assert gardener.get(ACCOUNT).status_code == 200
    assert flask("block", "Gardener") == "gardener is blocked now.\n"
    assert gardener.get(ACCOUNT).status_code == 401
    output = flask("block", "gardener", "--undo")
    assert output == "gardener is normal now.\n"
    assert gardener.get(ACCOUNT).status_code == 200


@pytest.mark.parametrize("command", ["passwd", "block"])
def test_a_missing_account_is_reported(app, flask, command):
    signed_in_client(app, "gone").delete(ACCOUNT)
    for name in ("unknown", "gone"):
        output = flask(command, name, input=NEW, code=1)
        assert output == f"Error: There is no account {name}.\n"


# users


def test_accounts_are_listed_with_role_and_block_but_not_deleted_ones(app, flask):
    signed_in_client(app, "gone").delete(ACCOUNT)
    signed_in_client(app, "gardener", "manager")
    flask("block", "gardener")
    flask("passwd", "gardener", input=NEW)  # keeps both
    rows = [line.split() for line in flask("users").splitlines()]
    assert [row[1:] for row in rows] == [
        ["pythonista", "user", "normal"],
        ["engineer", "user", "normal"],
        ["gardener", "manager", "blocked"],
    ]
    assert rows[1][0] == str(account(app, "engineer", PASSWORDS["engineer"])["id"])


def test_the_commands_are_audited(flask, admin):
    flask("adduser", "gardener", input=NEW)
    flask("block", "gardener")
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
    app = bare(AUTH_USERNAME1="chief", AUTH_PASSWORD1=NEW)
    output = flask("deploy", of=app)
    assert output.endswith("Ready. chief is the first admin.\n")
    first = account(app, "chief", NEW)
    assert first["role"] == "admin"
    headers = {"Authorization": basic("chief", NEW)}
    roles = app.test_client().get(ROLES, headers=headers).json
    assert flask("deploy", of=app).endswith("Ready.\n")
    assert app.test_client().get(ROLES, headers=headers).json == roles
    assert flask("users", of=app).count("\n") == 1
    assert account(app, "chief", NEW) == first


def test_only_an_account_of_ones_own_becomes_the_first_admin(bare, flask):
    hint = "Ready, without an admin: flask adduser NAME --role admin\n"
    demo = {"AUTH_USERNAME1": "pythonista", "AUTH_PASSWORD1": PASSWORDS["pythonista"]}
    for settings in (demo, {"AUTH_USERNAME1": None, "AUTH_USERNAME2": None}):
        app = bare(**settings)
        assert flask("deploy", of=app).endswith(hint)
        assert flask("users", of=app) == ""
    signed_in_client(app, "Gardener")
    app = bare(AUTH_USERNAME1="gardener", AUTH_PASSWORD1="not its password")
    assert "gardener is the first admin" in flask("deploy", of=app)
    assert account(app, "gardener", SHARED_PASSWORD)["role"] == "admin"
    assert account(app, "gardener", "not its password") is None
