"""No password, token or hash appears in responses, logs or the audit trail."""

import logging

import pytest
from sqlalchemy.exc import SQLAlchemyError

from conftest import SHARED_PASSWORD, basic, signed_in_client
from myapp.auth.models import Session
from myapp.core.data.session import sql
from myapp.users.models import User
from support.accounts import ACCOUNT, AUDIT, USERS, bearer
from support.discovery import API

AUTH = f"{API}/auth"


class Scenario:
    """The requests of a test, the secrets in them, and the responses to check."""

    def __init__(self, app):
        self.app = app
        self.secrets = {app.config["JWT_SECRET_KEY"], app.config["SECRET_KEY"]}
        self.responses = []

    def send(self, verb, address, status, token=None, basic_of=None, **payload):
        headers = bearer(token) if token else {}
        if basic_of:
            headers["Authorization"] = basic(*basic_of)
            self.secrets.add(headers["Authorization"].split()[1])
        client = self.app.test_client()
        json = payload or None
        response = client.open(address, method=verb, headers=headers, json=json)
        assert response.status_code == status
        body = response.json if response.is_json and status == 200 else {}
        tokens = {"access_token", "refresh_token", "token"} & body.keys()
        self.secrets.update(body[name] for name in tokens)
        if not tokens:
            self.responses.append(f"{response.headers}\n{response.text}")
        with self.app.app_context():
            self.secrets.update(sql.session.scalars(sql.select(User.password_hash)))
        return body

    def leaked(self, text):
        """Return the secrets in a text; of a token or a hash, the last part is compared."""
        parts = {
            secret.rpartition(".")[2].rpartition("$")[2] for secret in self.secrets
        }
        return [part for part in parts if part in text]


@pytest.fixture
def scenario(live_app):
    return Scenario(live_app)


def test_no_secret_is_in_responses_logs_or_the_audit_trail(
    scenario, caplog, monkeypatch
):
    # Set here, because at this level SQLAlchemy would log every row of the set-up.
    caplog.set_level(logging.DEBUG)
    admin = signed_in_client(scenario.app, "chief", "admin")
    first, second, third = "green fingers", "greener fingers", "greenest fingers"
    invalid, short = "a wrong guess", "2 short"
    scenario.secrets.update([SHARED_PASSWORD, first, second, third, invalid, short])
    name = "gardener"
    send = scenario.send

    send("POST", f"{AUTH}/register", 201, username=name, password=first)
    send("POST", f"{AUTH}/register", 409, username=name, password=invalid)
    send("POST", f"{AUTH}/register", 422, username="a b", password=short)
    pair = send("POST", f"{AUTH}/login", 200, username=name, password=first)
    send("GET", f"{AUTH}/request-token", 200, basic_of=(name, first))
    send("GET", ACCOUNT, 200, token=pair["access_token"])
    send("GET", f"{AUTH}/sessions", 200, token=pair["access_token"])
    renewed = send("POST", f"{AUTH}/refresh", 200, token=pair["refresh_token"])
    send("POST", f"{AUTH}/refresh", 401, token=pair["refresh_token"])
    send("GET", ACCOUNT, 401, token=renewed["access_token"])
    send("GET", ACCOUNT, 401, token=pair["refresh_token"])

    pair = send("POST", f"{AUTH}/login", 200, username=name, password=first)
    token = pair["access_token"]
    change = {"password": second, "current_password": invalid}
    send("PATCH", ACCOUNT, 422, token=token, **change)
    send("PATCH", ACCOUNT, 422, token=token, **{**change, "password": short})
    send("PATCH", ACCOUNT, 200, token=token, **{**change, "current_password": first})
    send("GET", ACCOUNT, 401, token=token)
    with monkeypatch.context() as broken:
        broken.setattr(Session, "start", None)
        send("POST", f"{AUTH}/login", 500, username=name, password=second)
        send("GET", f"{AUTH}/request-token", 500, basic_of=(name, second))
    with monkeypatch.context() as broken:
        broken.setattr(User, "require_free_name", None)
        send("POST", f"{AUTH}/register", 500, username="florist", password=invalid)
    for _ in range(4):  # the fifth was the wrong current password
        send("POST", f"{AUTH}/login", 401, username=name, password=invalid)
    send("POST", f"{AUTH}/login", 429, username=name, password=invalid)
    send("GET", ACCOUNT, 429, basic_of=(name, invalid))
    chief = ("chief", SHARED_PASSWORD)
    (user,) = send("GET", f"{USERS}?username={name}", 200, basic_of=chief)["items"]
    send("POST", USERS, 201, basic_of=chief, username="cook", password=third)
    send("PUT", user["url"], 200, basic_of=chief, username=name, password=third)
    send("PATCH", user["url"], 200, basic_of=chief, password=first)
    send("GET", user["url"], 200, basic_of=chief)
    send("DELETE", user["url"], 204, basic_of=chief)

    audit = admin.get(AUDIT, query_string={"per_page": 100}).text
    assert "password changed" in audit and "refresh token used twice" in audit
    assert caplog.text.count("Unexpected error") == 3
    assert len(scenario.secrets) > 20
    assert scenario.leaked(caplog.text) == []
    assert scenario.leaked(audit) == []
    assert scenario.leaked("\n".join(scenario.responses)) == []


def test_a_database_error_contains_no_value(scenario):
    # An unexpected error is logged as it is.
    statement = sql.text("SELECT 1 FROM nowhere WHERE password_hash = :hash")
    with scenario.app.app_context(), pytest.raises(SQLAlchemyError) as error:
        sql.session.execute(statement, {"hash": "$argon2id$not-for-your-eyes"})
    assert "not-for-your-eyes" not in str(error.value)
