"""Every error has one format, regardless of its source, and reveals no internals."""

from functools import partial

import flask_restx
import pytest
from flask import abort, request
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from conftest import as_account, close_stores
from myapp.core.data.session import unit_of_work
from myapp.core.errors import Problem
from myapp.core.http.feature_api import FeatureApi
from myapp.core.http.resource import Resource
from myapp.core.security.authentication import authenticate_request
from myapp.users.models import User
from support.assertions import assert_problem


def take_a_name_twice():
    with unit_of_work():
        User.create("pythonista", "I<3testing")


def divide_by_zero():
    1 / 0


def parse_as_restx():
    parser = flask_restx.reqparse.RequestParser()
    parser.add_argument("secret", required=True, location="args").parse_args()


def raise_error(error):
    raise error


RESTX_ERROR = {"message": "I am short and stout", "password": "I<3testing"}
PROBLEM = Problem(428, "Send If-Match.", headers={"X-Why": "because"})
NO_DATABASE = OperationalError("SELECT password", {}, Exception("no file /var/lib/db"))
NO_CONNECTION = PoolTimeout("QueuePool limit of size 5 overflow 10 reached")
NO_REDIS = RedisConnectionError("Error 111 connecting to 10.0.0.7:6379")
# The functions that fail, and the status of the response.
FAILURES = {
    "unexpected": (divide_by_zero, 500),
    "conflict": (take_a_name_twice, 409),
    "database": (partial(raise_error, NO_DATABASE), 503),
    "connection": (partial(raise_error, NO_CONNECTION), 503),
    "redis": (partial(raise_error, NO_REDIS), 503),
    "flask": (partial(abort, 404, "There is no file /etc/shadow.py"), 404),
    "restx": (partial(flask_restx.abort, 418, **RESTX_ERROR), 418),
    "parser": (parse_as_restx, 400),
    "werkzeug": (lambda: request.form["missing"], 400),
    "guard": (partial(authenticate_request, basic_only=False), 401),
    "problem": (partial(raise_error, PROBLEM), 428),
}
INSIDES = ("division", "zero", "10.0.0.7", "Queue", "shadow", "short", "I<3", "secret")


@pytest.fixture(scope="module")
def failing_client(make_app):
    """Return a client of a service that raises every kind of error, as in production.

    Paths below /flask raise it in a view, those below /restx in a Resource.
    """
    app = make_app(TESTING=False, API_PREFIX="")
    feature = FeatureApi("restx", "Trouble.")

    @feature.route("/<action>")
    class Trouble(Resource):
        def get(self, action):
            FAILURES[action][0]()

    feature.mount(app)
    app.add_url_rule("/flask/<action>", view_func=lambda action: FAILURES[action][0]())
    return app.test_client()


@pytest.mark.parametrize("way", ["flask", "restx"])
@pytest.mark.parametrize("action", FAILURES)
def test_every_error_is_a_problem_without_internals_and_server_errors_are_logged(
    failing_client, way, action, caplog
):
    headers, (_, status) = {"X-Request-ID": "find-me-again"}, FAILURES[action]
    response = failing_client.get(f"/{way}/{action}", headers=headers)
    assert assert_problem(response, status)["request_id"] == "find-me-again"
    assert not [word for word in INSIDES if word in response.text]
    assert response.headers["Cache-Control"] == "no-store"
    records = [record for record in caplog.records if record.name != "myapp.access"]
    if status >= 500:
        (record,) = records
        assert record.levelname == "ERROR" and "find-me-again" in record.getMessage()
    else:
        assert not records
    if status == 500:
        assert "in divide_by_zero" in caplog.text
        assert "ZeroDivisionError" in caplog.text


def test_an_error_keeps_its_headers(failing_client):
    assert failing_client.get("/restx/problem").headers["X-Why"] == "because"
    guard = failing_client.get("/restx/guard")
    assert "Bearer" in guard.headers["WWW-Authenticate"]
    assert_unavailable(failing_client.get("/restx/database"))


def assert_unavailable(response):
    assert_problem(response, 503)
    assert int(response.headers["Retry-After"]) > 0


def test_an_error_rolls_the_request_back(make_app):
    app = make_app(TESTING=False)
    feature = FeatureApi("halfway", "Trouble.")

    @feature.route("/")
    class Halfway(Resource):
        def post(self):
            User.create("newcomer", "knows this")
            1 / 0

    feature.mount(app)
    assert_problem(app.test_client().post("/api/v1/halfway/"), 500)
    with app.app_context():
        assert User.find("newcomer") is None


def test_an_unavailable_store_is_503_only_where_it_is_needed(make_app, tmp_path):
    uri = f"sqlite:///{tmp_path}/no/such/folder/db"
    client = as_account(make_app(SQLALCHEMY_DATABASE_URI=uri), "pythonista")
    assert_unavailable(client.get("/api/v1/account"))
    app = make_app(REDIS_URL=f"unix://{tmp_path}/missing.sock")
    client = as_account(app, "pythonista")
    assert client.get("/api/v1/account").status_code == 200
    assert_unavailable(client.get("/api/v1/sample_signals/"))


def test_missing_tables_are_503_without_a_traceback(make_app, empty_uri, caplog):
    app = make_app(SQLALCHEMY_DATABASE_URI=empty_uri, TESTING=False)
    assert_unavailable(as_account(app, "pythonista").get("/api/v1/account"))
    close_stores(app)
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "collection", "sample_gadgets sample_chores sample_signals users account".split()
)
def test_a_url_without_its_trailing_slash_allows_the_same_methods(client, collection):
    bare = f"/api/v1/{collection}"
    for verb in ("OPTIONS", "BREW", "DELETE" if collection != "account" else "POST"):
        with_slash = client.open(f"{bare}/", method=verb)
        without = client.open(bare, method=verb)
        assert without.status_code == with_slash.status_code in (200, 405)
        assert set(without.allow) == set(with_slash.allow) > {"OPTIONS"}
