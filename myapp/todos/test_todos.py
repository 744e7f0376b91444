from datetime import datetime
from json import dumps
from threading import Thread
from urllib.parse import quote

import pytest
from werkzeug.http import http_date

from conftest import THERMOSTAT, as_account, close_stores, signed_in_client

from ..core.data.session import sql, unit_of_work
from ..devices.models import Device
from .models import Todo

TODOS = "/api/v1/todos/"
DEVICES = "/api/v1/devices/"
JSON = "application/json"
DESCALE = {"name": "Descale the kettle", "task": "Half vinegar, half water."}
WASH = {"name": "Wash the car", "task": "By hand."}
DEFAULTS = {"done": False, "due_at": None, "device": None}
LONG_AGO = datetime(2020, 2, 29, 12)
# Sorted by `due_at`, then by id; some have the same time, some have none.
SORTED_TODOS = [
    ("2026-01-01T00:00:00Z", "a"),
    ("2026-01-01T00:00:00.000001Z", "b"),
    ("2026-03-01T00:00:00Z", "c"),
    ("2026-03-01T00:00:00Z", "d"),
    ("9999-12-31T23:59:59Z", "e"),
    (None, "f"),
    (None, "g"),
    (None, "h"),
]


def list_todos(client, **query):
    return client.get(TODOS, query_string=query).json["items"]


def problem(response, status):
    """Return the problem of a response, without the parts that differ for each request."""
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    return {k: v for k, v in response.json.items() if k != "request_id"}


def pointers(response, status=422):
    return sorted(error["pointer"] for error in problem(response, status)["errors"])


@pytest.fixture
def note(client):
    """Return a function that adds a to-do of pythonista and returns its representation."""

    def note(**values):
        response = client.post(TODOS, json={**DESCALE, **values})
        assert response.status_code == 201
        return response.json

    return note


@pytest.fixture
def todo(note, device):
    """Add a to-do about a device of pythonista, and return it."""
    return note(device=device["id"], due_at="2026-11-21T07:40:00Z", done=True)


@pytest.fixture
def theirs(engineer):
    """Return the id of a device of engineer."""
    return engineer.post(DEVICES, json=THERMOSTAT).json


def grow_old(app, todo):
    """Make the last change of a to-do old."""
    with app.app_context(), unit_of_work():
        old = sql.update(Todo).where(Todo.id == todo["id"])
        sql.session.execute(old.values(updated_at=LONG_AGO))


# Add, read, delete


def test_a_todo_needs_a_name_and_a_task(client):
    response = client.post(TODOS, json=DESCALE)
    assert response.status_code == 201
    assert response.headers["Location"] == response.json["url"]
    assert response.json["url"] == f"http://localhost{TODOS}{response.json['id']}"
    assert (
        response.json.items() >= {**DESCALE, **DEFAULTS, "owner": "pythonista"}.items()
    )
    assert client.get(response.json["url"]).json == response.json
    assert list_todos(client) == [response.json]


def test_a_todo_can_have_every_property(client, device):
    body = {**DESCALE, "done": True, "due_at": "2026-11-21T07:40:00Z"}
    response = client.post(TODOS, json={**body, "device": device["id"]})
    assert response.status_code == 201
    assert response.json.items() >= {**body, "device": device["id"]}.items()
    read = client.get(response.json["url"])
    assert read.json == response.json
    assert read.headers["ETag"] == response.headers["ETag"]


def test_deleting_a_todo_keeps_its_device(client, todo, device):
    removed = client.delete(todo["url"])
    assert (removed.status_code, removed.data) == (204, b"")
    problem(client.get(todo["url"]), 404)
    assert list_todos(client) == []
    assert client.get(device["url"]).json == device


VERBS = {
    TODOS: {"GET", "HEAD", "OPTIONS", "POST"},
    f"{TODOS}1": {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"},
}


@pytest.mark.parametrize("address", VERBS)
def test_a_wrong_verb_is_405_with_the_allowed_ones(client, address):
    assert set(client.options(address).allow) == VERBS[address]
    for verb in {"PUT", "PATCH", "DELETE", "POST"} - VERBS[address]:
        refused = client.open(address, method=verb, json=DESCALE)
        problem(refused, 405)
        assert set(refused.allow) == VERBS[address]


# Ownership


@pytest.mark.parametrize("verb", ["GET", "PUT", "PATCH", "DELETE"])
def test_a_todo_of_another_account_is_not_found(client, engineer, todo, verb):
    refused, nobodys = (
        engineer.open(address, method=verb, json=WASH)
        for address in (todo["url"], f"{TODOS}{2**62}")
    )
    assert problem(refused, 404) == problem(nobodys, 404)
    assert client.get(todo["url"]).json == todo
    assert list_todos(engineer) == []


@pytest.mark.parametrize("verb", ["GET", "PUT", "PATCH", "DELETE"])
def test_without_credentials_every_request_is_401(stranger, todo, verb):
    problem(stranger.open(todo["url"], method=verb, json=WASH), 401)
    problem(stranger.open(TODOS, method="POST", json=WASH), 401)


def test_a_todo_that_another_account_changes_keeps_its_owner(client, admin, todo):
    changed = admin.put(todo["url"], json={**WASH, "device": todo["device"]})
    assert changed.status_code == 200
    assert changed.json["owner"] == "pythonista"
    assert client.get(todo["url"]).json == changed.json


# Its device


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("whose", ["another account", "missing"])
def test_a_todo_is_about_a_device_of_its_owners(client, theirs, todo, verb, whose):
    id = theirs["id"] if whose == "another account" else 2**62
    address = TODOS if verb == "POST" else todo["url"]
    refused = client.open(address, method=verb, json={**WASH, "device": id})
    assert problem(refused, 422)["errors"] == [
        {"pointer": "/device", "detail": "No such device."}
    ]
    assert list_todos(client) == [todo]


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
def test_even_an_admin_cannot_refer_to_a_device_of_another_account(
    admin, engineer, note, device, theirs, verb
):
    todo = note()
    own = admin.post(DEVICES, json=THERMOSTAT).json
    for foreign in (own, theirs):
        body = {**WASH, "device": foreign["id"]}
        refused = admin.open(todo["url"], method=verb, json=body)
        assert pointers(refused) == ["/device"]
    body = {**WASH, "device": device["id"]}
    changed = admin.open(todo["url"], method=verb, json=body)
    assert (changed.status_code, changed.json["device"]) == (200, device["id"])


def test_deleting_a_device_changes_only_its_todos(app, client, note, todo, device):
    other = note()
    for each in (todo, other):
        grow_old(app, each)
    before, untouched = client.get(todo["url"]), client.get(other["url"])
    assert before.headers["Last-Modified"] == http_date(LONG_AGO)
    client.delete(device["url"])
    after = client.get(todo["url"])
    assert after.headers["ETag"] != before.headers["ETag"]
    assert after.json["updated_at"] > before.json["updated_at"]
    since = {"If-Modified-Since": before.headers["Last-Modified"]}
    assert client.get(todo["url"], headers=since).status_code == 200
    seen = {"If-Match": before.headers["ETag"]}
    problem(client.patch(todo["url"], json=WASH, headers=seen), 412)
    still = client.get(other["url"])
    for name in ("ETag", "Last-Modified"):
        assert still.headers[name] == untouched.headers[name]


def test_a_device_that_is_not_deleted_keeps_its_todos(client, todo, device):
    before = client.get(todo["url"])
    etag = client.get(device["url"]).headers["ETag"]
    client.patch(device["url"], json={"name": "Oven"})
    problem(client.delete(device["url"], headers={"If-Match": etag}), 412)
    assert client.get(todo["url"]).headers["ETag"] == before.headers["ETag"]


def test_deleting_devices_in_bulk_keeps_their_todos(app, client, todo, device):
    before = client.get(todo["url"])
    with app.app_context(), unit_of_work():
        sql.session.execute(sql.delete(Device))
    after = client.get(todo["url"])
    assert after.json["device"] is None
    assert after.headers["ETag"] != before.headers["ETag"]


def test_a_todo_of_a_deleted_account_is_kept_like_its_devices(app, admin):
    gardener = signed_in_client(app, "gardener")
    device = gardener.post(DEVICES, json=THERMOSTAT).json
    todo = gardener.post(TODOS, json={**DESCALE, "device": device["id"]}).json
    gardener.delete("/api/v1/account")
    assert admin.get(device["url"]).json == device
    assert admin.get(todo["url"]).json == todo
    assert admin.delete(device["url"]).status_code == 204
    assert admin.get(todo["url"]).json["device"] is None


@pytest.fixture
def while_its_device_goes(make_app):
    """Return a function that sends a to-do while its device is being deleted."""
    app = make_app()  # with real transactions
    client = as_account(app, "pythonista")
    device = client.post(DEVICES, json=THERMOSTAT).json
    about = {**DESCALE, "device": device["id"]}
    todo = client.post(TODOS, json=about).json

    requests = {
        "POST": {"path": TODOS, "json": about},
        "PATCH": {"path": todo["url"], "json": {"done": True}},
    }

    def while_its_device_goes(verb):
        def send():
            answers.append(client.open(method=verb, **requests[verb]))

        answers, other = [], Thread(target=send)
        with app.app_context(), unit_of_work():
            record = Device.lock_or_404(device["id"])
            other.start()
            other.join(0.3)
            record.delete()
        other.join(10)
        return answers[0]

    yield while_its_device_goes
    client.delete(todo["url"])


def test_a_todo_cannot_be_added_to_a_device_that_is_being_deleted(
    while_its_device_goes,
):
    assert pointers(while_its_device_goes("POST")) == ["/device"]


def test_a_todo_can_be_changed_while_its_device_is_being_deleted(while_its_device_goes):
    changed = while_its_device_goes("PATCH")
    assert changed.status_code == 200


# Bodies


@pytest.mark.parametrize(
    "change, faults",
    [
        ({"name": ""}, ["/name"]),
        ({"name": "x" * 65}, ["/name"]),
        ({"task": ""}, ["/task"]),
        ({"task": "x" * 251}, ["/task"]),
        ({"done": "true"}, ["/done"]),
        ({"done": 1}, ["/done"]),
        ({"due_at": 0}, ["/due_at"]),
        ({"due_at": "tomorrow"}, ["/due_at"]),
        ({"due_at": "2026-11-21"}, ["/due_at"]),
        ({"due_at": "2026-11-21T07:40:00"}, ["/due_at"]),
        ({"due_at": "2026-02-30T07:40:00Z"}, ["/due_at"]),
        ({"due_at": "0001-01-01T00:00:00+14:00"}, ["/due_at"]),
        ({"due_at": "9999-12-31T23:59:59.999999Z"}, ["/due_at"]),  # means none
        ({"device": "7"}, ["/device"]),
        ({"device": 0}, ["/device"]),
        ({"device": 1.5}, ["/device"]),
        ({"device": True}, ["/device"]),
        ({"owner": "engineer", "id": 1}, ["/id", "/owner"]),
        ({"name": 1, "done": "", "device": -1}, ["/device", "/done", "/name"]),
    ],
)
@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH"])
def test_an_invalid_body_is_answered_with_every_error(
    client, todo, verb, change, faults
):
    address = TODOS if verb == "POST" else todo["url"]
    body = change if verb == "PATCH" else {**DESCALE, **change}
    assert pointers(client.open(address, method=verb, json=body)) == faults
    assert list_todos(client) == [todo]


def test_done_cannot_be_null_in_a_complete_representation(client, todo):
    for verb, address in (("POST", TODOS), ("PUT", todo["url"])):
        body = {**DESCALE, "done": None}
        assert pointers(client.open(address, method=verb, json=body)) == ["/done"]


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH"])
def test_a_body_that_cannot_be_read_is_refused(app, client, todo, verb):
    def sent(data, media_type):
        address = TODOS if verb == "POST" else todo["url"]
        return client.open(address, method=verb, data=data, content_type=media_type)

    problem(sent("{", JSON), 400)
    problem(sent(dumps(WASH), "text/plain"), 415)
    app.config["MAX_CONTENT_LENGTH"] = 10
    problem(sent(dumps(WASH), JSON), 413)
    assert list_todos(client) == [todo]


@pytest.mark.parametrize(
    "sent, shown",
    [
        ("2026-11-21T07:40:00Z", "2026-11-21T07:40:00Z"),
        ("2026-11-21t07:40:00z", "2026-11-21T07:40:00Z"),
        ("2026-11-21T07:40:00-05:30", "2026-11-21T13:10:00Z"),
        ("2026-11-21T07:40:00.25+00:00", "2026-11-21T07:40:00.250000Z"),
        ("2026-11-21T07:40:00.123456789Z", "2026-11-21T07:40:00.123456Z"),
        ("1969-07-20T20:17:40Z", "1969-07-20T20:17:40Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        (None, None),
    ],
)
def test_a_time_is_kept_to_the_microsecond_in_utc(client, sent, shown):
    response = client.post(TODOS, json={**DESCALE, "due_at": sent})
    assert response.status_code == 201
    assert response.json["due_at"] == shown
    read = client.get(response.json["url"])
    assert read.json == response.json
    assert read.headers["ETag"] == response.headers["ETag"]


# Changes


def test_put_resets_missing_properties(client, todo):
    put = client.put(todo["url"], json=WASH)
    assert put.status_code == 200
    assert put.json == {
        **todo,
        **WASH,
        **DEFAULTS,
        "updated_at": put.json["updated_at"],
    }
    assert client.get(todo["url"]).json == put.json


@pytest.mark.parametrize(
    "change",
    [
        {"done": False},
        {"due_at": None},
        {"due_at": "2027-01-01T00:00:00Z"},
        {"device": None},
        {"device": None, "due_at": None, "name": "Wash the car"},
    ],
)
@pytest.mark.parametrize("media_type", ["application/merge-patch+json", JSON])
def test_a_patch_changes_only_the_properties_in_it(
    app, client, todo, change, media_type
):
    grow_old(app, todo)
    patched = client.patch(todo["url"], data=dumps(change), content_type=media_type)
    assert patched.status_code == 200
    assert patched.json["updated_at"] > LONG_AGO.isoformat()
    expected = {**todo, **change, "updated_at": patched.json["updated_at"]}
    assert client.get(todo["url"]).json == patched.json == expected


def test_a_patch_with_null_resets_done(client, todo):
    assert client.patch(todo["url"], json={"done": None}).json["done"] is False


def test_the_document_says_which_properties_a_patch_can_remove(client):
    schema = client.get("/openapi.json").json["components"]["schemas"]["TodoPatch"]
    nullable = {
        name
        for name, result in schema["properties"].items()
        if "null" in result["type"]
    }
    assert nullable == {"done", "due_at", "device"}


@pytest.mark.parametrize("name", ["name", "task"])
def test_a_patch_cannot_remove_a_required_property(client, todo, name):
    assert pointers(client.patch(todo["url"], json={name: None})) == [f"/{name}"]


def test_a_patch_can_set_the_device_of_a_todo(client, note, device):
    patched = client.patch(note()["url"], json={"device": device["id"]})
    assert (patched.status_code, patched.json["device"]) == (200, device["id"])


@pytest.mark.parametrize("verb, body", [("PUT", "itself"), ("PATCH", {})])
def test_a_change_that_changes_nothing_keeps_the_etag(client, todo, verb, body):
    before = client.get(todo["url"])
    if body == "itself":
        body = {name: todo[name] for name in (*DESCALE, *DEFAULTS)}
    same = client.open(todo["url"], method=verb, json=body)
    assert (same.status_code, same.data) == (200, before.data)
    assert same.headers["ETag"] == before.headers["ETag"]


# Lists


@pytest.fixture
def sorted_todos(note):
    """Add the to-dos of SORTED_TODOS in another order; every second one is done."""
    for number in (5, 2, 0, 6, 4, 3, 1, 7):
        due_at, name = SORTED_TODOS[number]
        note(due_at=due_at, name=name, done=number % 2 == 0)


def names_of(items):
    return "".join(item["name"] for item in items)


def walk(client, address, rel):
    """Return the names on each page from `address`, along `rel`; 10 pages at most."""
    pages = []
    while address and len(pages) < 10:
        page = client.get(address).json
        pages.append(names_of(page["items"]))
        address = page["meta"][rel]
    return pages


WALKS = {
    "due_at": ["ab", "cd", "ef", "gh"],
    "-due_at": ["hg", "fe", "dc", "ba"],
    "due_at,-name": ["ab", "dc", "eh", "gf"],
    "-due_at,name": ["fg", "he", "cd", "ba"],
    "done,due_at": ["bd", "fh", "ac", "eg"],
    "-done,due_at": ["ac", "eg", "bd", "fh"],
    "done,-due_at": ["hf", "db", "ge", "ca"],
}


@pytest.mark.parametrize("sort", WALKS)
def test_todos_without_a_time_come_last_in_every_page_direction(
    client, sorted_todos, sort
):
    start = f"{TODOS}?sort={sort}&per_page=2"
    assert walk(client, start, "next") == WALKS[sort]
    last = client.get(start).json["meta"]["last"]
    assert walk(client, last, "prev") == WALKS[sort][::-1]


@pytest.mark.parametrize(
    "query, names",
    [
        ("done=true", "aceg"),
        ("done=false", "bdfh"),
        ("due_at=2026-03-01T00:00:00Z", "cd"),
        (f"due_at={quote('2026-01-01T01:00:00.000001+01:00')}", "b"),
        ("due_at=9999-12-31T23:59:59Z", "e"),
        ("due_at=2026-03-01T00:00:00Z&done=true", "c"),
        ("name=a", "a"),
        ("device=1", ""),
        ("q=VINEGAR", "abcdefgh"),
        ("q=kettle", ""),
    ],
)
def test_a_filter_matches_exactly(client, sorted_todos, query, names):
    body = client.get(f"{TODOS}?sort=due_at&{query}").json
    assert names_of(body["items"]) == names
    assert body["meta"]["total"] == len(names)


def test_todos_can_be_filtered_by_device(client, note, todo, device):
    note()
    assert list_todos(client, device=device["id"]) == [todo]


@pytest.mark.parametrize(
    "query",
    [
        "done=yes",
        "done=1",
        "due_at=null",
        "due_at=9999-12-31T23:59:59.999999Z",
        "device=x",
        "device=null",
        "sort=task",
        "sort=device",
    ],
)
def test_an_invalid_query_is_refused(client, query):
    refused = client.get(f"{TODOS}?{query}")
    assert pointers(refused, 400) == [f"/{query.partition('=')[0]}"]


def test_the_demo_todos_name_demo_devices(make_app, empty_uri):
    app = make_app(SQLALCHEMY_DATABASE_URI=empty_uri)
    result = app.test_cli_runner().invoke(args=["init-db"])
    assert "4 todos\n" in result.output
    todos = as_account(app, "pythonista").get(TODOS).json["items"]
    assert [bool(todo["device"]) for todo in todos] == [True, False, True, False]
    close_stores(app)
