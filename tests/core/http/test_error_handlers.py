"""Every error has one format, regardless of its source, and reveals no internals."""

import flask_restx
import pytest
from flask import abort, request
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from conftest import as_account, basic, close_stores, empty_database
from myapp.core.data.session import sql, unit_of_work
from myapp.core.errors import Problem
from myapp.core.http.feature_api import FeatureApi
from myapp.core.http.resource import Resource
from myapp.core.security.authentication import authenticate_request
from myapp.roles.models import Role
from myapp.users.models import User
from support.assertions import assert_problem


def divide_by_zero():
    1 / 0


def take_a_name_twice():
    with unit_of_work():
        User.create("pythonista", "I<3testing")


def delete_a_role_that_is_used():
    with unit_of_work():
        sql.session.execute(sql.delete(Role))


def write_a_row_without_a_required_value():
    with unit_of_work():
        values = {"title": "secret", "title_key": None, "permissions": []}
        sql.session.execute(sql.insert(Role).values(default=False, search="", **values))


def ask_a_database_that_is_gone():
    raise OperationalError("SELECT password", {}, Exception("no file /var/lib/db"))


def wait_for_a_connection():
    raise PoolTimeout("QueuePool limit of size 5 overflow 10 reached")


def ask_a_redis_that_is_gone():
    raise RedisConnectionError("Error 111 connecting to 10.0.0.7:6379")


def abort_as_flask():
    abort(404, "There is no file /etc/shadow.py")


def abort_as_restx():
    flask_restx.abort(418, "I am short and stout", password="I<3testing")


def parse_as_restx():
    parser = flask_restx.reqparse.RequestParser()
    parser.add_argument("secret", required=True, location="args").parse_args()


def read_a_form_as_werkzeug():
    request.form["missing"]


def ask_the_guard():
    authenticate_request(basic_only=False)


def say_it_ourselves():
    raise Problem(428, "Send If-Match.", headers={"X-Why": "because"})


STATUSES = {
    divide_by_zero: 500,
    take_a_name_twice: 409,
    delete_a_role_that_is_used: 409,
    write_a_row_without_a_required_value: 500,
    ask_a_database_that_is_gone: 503,
    wait_for_a_connection: 503,
    ask_a_redis_that_is_gone: 503,
    abort_as_flask: 404,
    abort_as_restx: 418,
    parse_as_restx: 400,
    read_a_form_as_werkzeug: 400,
    ask_the_guard: 401,
    say_it_ourselves: 428,
}
INSIDES = ("division", "zero", "10.0.0.7", "Queue", "shadow", "short", "I<3", "secret")


@pytest.fixture(scope="module")
def failing_client(make_app):
    """Return a client of a service that raises every kind of error, as in production.

    Paths below /flask raise it in a view, those below /restx in a Resource.
    """
    app = make_app(TESTING=False, API_PREFIX="")
    actions = {action.__name__: action for action in STATUSES}
    feature = FeatureApi("restx", "Trouble.")

    @feature.route("/<action>")
    class Trouble(Resource):
        def get(self, action):
            actions[action]()

    feature.mount(app)
    app.add_url_rule("/flask/<action>", view_func=lambda action: actions[action]())
    return app.test_client()


@pytest.mark.parametrize("way", ["flask", "restx"])
@pytest.mark.parametrize("action", STATUSES, ids=lambda action: action.__name__)
def test_every_error_is_a_problem_without_internals(failing_client, way, action):
    response = failing_client.get(f"/{way}/{action.__name__}")
    assert_problem(response, STATUSES[action])
    assert not [word for word in INSIDES if word in response.text]
    assert response.headers["Cache-Control"] == "no-store"


def test_an_error_keeps_its_headers(failing_client):
    assert failing_client.get("/restx/say_it_ourselves").headers["X-Why"] == "because"
    assert (
        "Bearer"
        in failing_client.get("/restx/ask_the_guard").headers["WWW-Authenticate"]
    )
    down = failing_client.get("/restx/ask_a_database_that_is_gone")
    assert int(down.headers["Retry-After"]) > 0


def test_unknown_urls_and_methods_are_problems(failing_client):
    assert_problem(failing_client.get("/nowhere"), 404)
    assert_problem(failing_client.post("/flask/divide_by_zero"), 405)


def troubles(caplog):
    """Return the log records other than the access log."""
    return [record for record in caplog.records if record.name != "myapp.access"]


@pytest.mark.parametrize("way", ["flask", "restx"])
@pytest.mark.parametrize(
    "action",
    [
        divide_by_zero,
        write_a_row_without_a_required_value,
        ask_a_database_that_is_gone,
        ask_a_redis_that_is_gone,
    ],
    ids=lambda action: action.__name__,
)
def test_server_errors_are_logged_with_the_request_id(
    failing_client, way, action, caplog
):
    response = failing_client.get(
        f"/{way}/{action.__name__}", headers={"X-Request-ID": "find-me-again"}
    )
    assert response.json["request_id"] == "find-me-again"
    (record,) = troubles(caplog)
    assert record.levelname == "ERROR"
    assert "find-me-again" in record.getMessage()


def test_the_traceback_of_an_unexpected_error_is_logged(failing_client, caplog):
    failing_client.get("/restx/divide_by_zero")
    assert "in divide_by_zero" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_violated_constraint_is_logged_by_name_and_without_values(
    failing_client, caplog
):
    failing_client.get("/restx/write_a_row_without_a_required_value")
    (record,) = troubles(caplog)
    assert "title_key" in record.getMessage()
    assert "secret" not in caplog.text


def test_client_errors_are_not_logged_as_errors(failing_client, caplog):
    failing_client.get("/restx/abort_as_flask")
    failing_client.get("/restx/say_it_ourselves")
    assert not troubles(caplog)


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


def test_an_unavailable_database_is_503(make_app, tmp_path):
    uri = f"sqlite:///{tmp_path}/no/such/folder/db"
    client = as_account(make_app(SQLALCHEMY_DATABASE_URI=uri), "pythonista")
    response = client.get("/api/v1/account")
    assert_problem(response, 503)
    assert int(response.headers["Retry-After"]) > 0


def test_an_unavailable_redis_is_503_only_where_it_is_needed(make_app, tmp_path):
    app = make_app(REDIS_URL=f"unix://{tmp_path}/missing.sock")
    client = as_account(app, "pythonista")
    assert client.get("/api/v1/account").status_code == 200
    response = client.get("/api/v1/sample_signals/")
    assert_problem(response, 503)
    assert int(response.headers["Retry-After"]) > 0


def test_missing_tables_are_503_without_a_traceback(make_app, tmp_path, capsys):
    with empty_database(tmp_path) as uri:
        app = make_app(SQLALCHEMY_DATABASE_URI=uri, TESTING=False)
        headers = {"Authorization": basic("pythonista", "I<3testing")}
        response = app.test_client().get("/api/v1/account", headers=headers)
        close_stores(app)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    lacking = "users: `flask deploy` runs the pending migrations."
    assert response.json["detail"].startswith("The database lacks audit,")
    assert response.json["detail"].endswith(lacking)
    log = capsys.readouterr().err
    assert response.json["detail"] in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    "collection",
    ["sample_gadgets", "sample_chores", "sample_signals", "users", "account"],
)
def test_a_url_without_its_trailing_slash_allows_the_same_methods(client, collection):
    bare = f"/api/v1/{collection}"
    for verb in ("OPTIONS", "BREW", "DELETE" if collection != "account" else "POST"):
        with_slash = client.open(f"{bare}/", method=verb)
        without = client.open(bare, method=verb)
        assert without.status_code == with_slash.status_code in (200, 405)
        assert set(without.allow) == set(with_slash.allow) > {"OPTIONS"}
