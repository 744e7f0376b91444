"""No password, token or hash is where somebody may read it."""

import logging

import pytest
from sqlalchemy.exc import SQLAlchemyError

from conftest import SHARED_PASSWORD, basic, hire
from myapp.auth.models import Session
from myapp.core.data.session import sql
from myapp.users.models import User

AUTH = "/api/v1/auth"
ACCOUNT = "/api/v1/account"
USERS = "/api/v1/users/"
AUDIT = "/api/v1/audit/"


class Story:
    """What somebody does, every secret in it, and every answer that must hold none."""

    def __init__(self, app):
        self.app = app
        self.secrets = {app.config["JWT_SECRET_KEY"], app.config["SECRET_KEY"]}
        self.answers = []

    def password(self, text):
        self.secrets.add(text)
        return text

    def tell(self, verb, address, status, token=None, basic_of=None, **body):
        headers = {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        elif basic_of:
            headers["Authorization"] = basic(*basic_of)
            self.secrets.add(headers["Authorization"].split()[1])
        client = self.app.test_client()
        kwargs = {"json": body} if body else {}
        answer = client.open(address, method=verb, headers=headers, **kwargs)
        assert answer.status_code == status
        found = answer.json if answer.is_json and status == 200 else {}
        tokens = {"access_token", "refresh_token", "token"} & found.keys()
        self.secrets.update(found[name] for name in tokens)
        if not tokens:
            self.answers.append(f"{answer.headers}\n{answer.text}")
        self.keep_hashes()
        return found

    def keep_hashes(self):
        with self.app.app_context():
            hashes = set(sql.session.scalars(sql.select(User.password_hash)))
        self.secrets |= hashes

    def betrayed(self, text):
        """The secrets that stand in a text; of a token or a hash, its last part does."""
        parts = {
            secret.rpartition(".")[2].rpartition("$")[2] for secret in self.secrets
        }
        return [part for part in parts if part in text]


@pytest.fixture
def story(live_app):
    return Story(live_app)


def test_a_whole_story_betrays_no_secret(story, caplog, monkeypatch):
    # From here on: at this level SQLAlchemy itself would show every row it reads.
    caplog.set_level(logging.DEBUG)
    admin = hire(story.app, "chief", "admin")
    story.password(SHARED_PASSWORD)
    first, second = map(story.password, ("green fingers", "greener fingers"))
    wrong, short = map(story.password, ("a wrong guess", "2 short"))
    name = "gardener"
    tell = story.tell

    tell("POST", f"{AUTH}/register", 201, username=name, password=first)
    tell("POST", f"{AUTH}/register", 409, username=name, password=wrong)
    tell("POST", f"{AUTH}/register", 422, username="a b", password=short)
    pair = tell("POST", f"{AUTH}/login", 200, username=name, password=first)
    tell("GET", f"{AUTH}/request-token", 200, basic_of=(name, first))
    tell("GET", ACCOUNT, 200, token=pair["access_token"])
    tell("GET", f"{AUTH}/sessions", 200, token=pair["access_token"])
    renewed = tell("POST", f"{AUTH}/refresh", 200, token=pair["refresh_token"])
    tell("POST", f"{AUTH}/refresh", 401, token=pair["refresh_token"])
    tell("GET", ACCOUNT, 401, token=renewed["access_token"])
    tell("GET", ACCOUNT, 401, token=pair["refresh_token"])

    pair = tell("POST", f"{AUTH}/login", 200, username=name, password=first)
    token = pair["access_token"]
    change = {"password": second, "current_password": wrong}
    tell("PATCH", ACCOUNT, 422, token=token, **change)
    tell("PATCH", ACCOUNT, 422, token=token, **{**change, "password": short})
    tell("PATCH", ACCOUNT, 200, token=token, **{**change, "current_password": first})
    tell("GET", ACCOUNT, 401, token=token)
    with monkeypatch.context() as broken:
        broken.setattr(Session, "begin", None)
        tell("POST", f"{AUTH}/login", 500, username=name, password=second)
        tell("GET", f"{AUTH}/request-token", 500, basic_of=(name, second))
    with monkeypatch.context() as broken:
        broken.setattr(User, "must_be_free", None)
        tell("POST", f"{AUTH}/register", 500, username="florist", password=wrong)
    for _ in range(4):  # the fifth was the wrong current password
        tell("POST", f"{AUTH}/login", 401, username=name, password=wrong)
    tell("POST", f"{AUTH}/login", 429, username=name, password=wrong)
    tell("GET", ACCOUNT, 429, basic_of=(name, wrong))
    chief = ("chief", SHARED_PASSWORD)
    found = tell("GET", f"{USERS}?username={name}", 200, basic_of=chief)["items"]
    tell("DELETE", found[0]["url"], 204, basic_of=chief)

    audit = admin.get(AUDIT, query_string={"per_page": 100}).text
    assert "password changed" in audit and "refresh token used twice" in audit
    assert caplog.text.count("Unexpected error") == 3
    assert len(story.secrets) > 20
    assert story.betrayed(caplog.text) == []
    assert story.betrayed(audit) == []
    assert story.betrayed("\n".join(story.answers)) == []


def test_an_error_of_the_database_betrays_no_value(story):
    # It ends in the log as it is, when it is one that nobody expected.
    statement = sql.text("SELECT 1 FROM nowhere WHERE password_hash = :hash")
    with story.app.app_context(), pytest.raises(SQLAlchemyError) as error:
        sql.session.execute(statement, {"hash": "$argon2id$not-for-your-eyes"})
    assert "not-for-your-eyes" not in str(error.value)
