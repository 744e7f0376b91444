"""The account gardener: its sessions, and the responses to right and wrong credentials."""

from datetime import timedelta

import pytest
from argon2 import PasswordHasher

from conftest import CHEAP_PARAMETERS, SHARED_PASSWORD, basic, signed_in_client
from myapp.core.data.models.columns import now
from myapp.core.data.session import sql, unit_of_work
from myapp.core.jobs import schedule
from myapp.core.security import passwords
from support.assertions import assert_problem
from support.discovery import API

ACCOUNT = f"{API}/account"
AUDIT = f"{API}/audit/"
ROLES = f"{API}/roles/"
USERS = f"{API}/users/"
SESSIONS = f"{API}/auth/sessions"
HERE = "192.0.2.1"
NEW_PASSWORD = "another one for it"


def bearer(token):
    """Return the headers of a request with this token."""
    return {"Authorization": f"Bearer {token}"}


def sign_in(client, username="gardener", password=SHARED_PASSWORD, address=HERE):
    """Return the response to a login from that address."""
    return client.post(
        f"{API}/auth/login",
        json={"username": username, "password": password},
        environ_overrides={"REMOTE_ADDR": address},
    )


def refresh(client, token, **options):
    """Return the response to a refresh token; `options`: of the test client."""
    return client.post(f"{API}/auth/refresh", headers=bearer(token), **options)


def status(client, username, password):
    """Return the status of a request with these credentials."""
    headers = {"Authorization": basic(username, password)}
    return client.get(ACCOUNT, headers=headers).status_code


def refusal(response):
    """Return the body and the headers of a 401, without the parts that always differ."""
    problem = assert_problem(response, 401)
    challenges = response.headers["WWW-Authenticate"]
    assert "Basic realm=" in challenges and "Bearer realm=" in challenges
    headers = {k: v for k, v in response.headers if k != "X-Request-ID"}
    return {k: v for k, v in problem.items() if k != "request_id"}, headers


def pointers(response):
    """Return the sorted pointers of a 422."""
    problem = assert_problem(response, 422)
    return sorted({error["pointer"] for error in problem["errors"]})


def url_of(client):
    """Return the URL of a client's account at `users`."""
    return f"{USERS}{client.get(ACCOUNT).json['id']}"


def purge(app, feature):
    """Run the purge of a feature; return what it reports, "0" if that is nothing."""
    with app.app_context():
        return schedule.periodic_tasks()[f"{feature}.purge"].run() or "0"


def set_age(app, column, condition, **age):
    """Set a time of the rows that meet the condition to this long ago."""
    values = {column: now() - timedelta(**age)}
    with app.app_context(), unit_of_work():
        sql.session.execute(sql.update(column.class_).where(condition).values(values))


@pytest.fixture
def gardener(app):
    """Return a client that signs in as gardener, an ordinary account, with HTTP Basic."""
    return signed_in_client(app, "gardener")


@pytest.fixture
def pair(gardener, stranger):
    """Return the tokens of a session of gardener."""
    return sign_in(stranger).json


@pytest.fixture
def session_client(app, pair):
    """Return a client with an access token of gardener."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {pair['access_token']}"
    return client


@pytest.fixture
def verified_hashes(monkeypatch):
    """Return a list of the hashes that passwords are verified against from now on."""
    seen = []

    class Watched(PasswordHasher):
        def verify(self, hash, password):
            seen.append(hash)
            return super().verify(hash, password)

    monkeypatch.setattr(passwords, "hasher", Watched(**CHEAP_PARAMETERS))
    return seen
