"""To-dos: their times, their order, and what happens to them with their device."""

from datetime import datetime
from threading import Thread
from urllib.parse import quote

import pytest

from conftest import THERMOSTAT, as_account, close_stores, signed_in_client
from support.assertions import assert_problem

from ..core.data.session import sql, unit_of_work
from ..devices.models import Device
from .models import Todo

TODOS = "/api/v1/todos/"
DEVICES = "/api/v1/devices/"
DESCALE = {"name": "Descale the kettle", "task": "Half vinegar, half water."}
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


def pointers(response, status=422):
    return [error["pointer"] for error in assert_problem(response, status)["errors"]]


def headers_of(client, record):
    """Return the ETag and Last-Modified of a record."""
    headers = client.get(record["url"]).headers
    return headers["ETag"], headers["Last-Modified"]


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


# Its device


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
def test_a_todo_that_an_admin_changes_keeps_its_owner_who_must_own_its_device(
    client, admin, engineer, note, device, verb
):
    todo = note()
    for other in (admin, engineer):
        foreign = other.post(DEVICES, json=THERMOSTAT).json["id"]
        body = {**DESCALE, "device": foreign}
        assert pointers(admin.open(todo["url"], method=verb, json=body)) == ["/device"]
    body = {**DESCALE, "device": device["id"]}
    changed = admin.open(todo["url"], method=verb, json=body)
    assert changed.json.items() >= {**body, "owner": "pythonista"}.items()
    assert client.get(todo["url"]).json == changed.json


@pytest.mark.parametrize("bulk", [False, True])
def test_deleting_a_device_changes_only_its_todos(
    app, client, note, todo, device, bulk
):
    other = note()
    with app.app_context(), unit_of_work():
        sql.session.execute(sql.update(Todo).values(updated_at=LONG_AGO))
    before, untouched = headers_of(client, todo), headers_of(client, other)
    state = {"If-Match": client.get(device["url"]).headers["ETag"]}
    client.patch(device["url"], json={"name": "Oven"})
    assert_problem(client.delete(device["url"], headers=state), 412)
    assert headers_of(client, todo) == before
    if bulk:
        with app.app_context(), unit_of_work():
            sql.session.execute(sql.delete(Device))
    else:
        client.delete(device["url"])
        since = {"If-Modified-Since": before[1]}
        after = client.get(todo["url"], headers=since)
        assert after.json["updated_at"] > LONG_AGO.isoformat()
    assert client.get(todo["url"]).json["device"] is None
    assert headers_of(client, todo)[0] != before[0]
    seen = {"If-Match": before[0]}
    assert_problem(client.patch(todo["url"], json=DESCALE, headers=seen), 412)
    assert headers_of(client, other) == untouched


def test_a_device_stays_without_its_todos_and_both_without_their_account(
    app, client, admin, todo, device
):
    assert client.delete(todo["url"]).status_code == 204
    assert client.get(device["url"]).json == device
    gardener = signed_in_client(app, "gardener")
    device = gardener.post(DEVICES, json=THERMOSTAT).json
    todo = gardener.post(TODOS, json={**DESCALE, "device": device["id"]}).json
    gardener.delete("/api/v1/account")
    assert admin.get(device["url"]).json == device
    assert admin.get(todo["url"]).json == todo
    assert admin.delete(device["url"]).status_code == 204
    assert admin.get(todo["url"]).json["device"] is None


@pytest.mark.parametrize("verb, status", [("POST", 422), ("PATCH", 200)])
def test_while_its_device_is_being_deleted_a_todo_can_be_changed_and_not_added(
    make_app, verb, status
):
    app = make_app()  # with real transactions
    client = as_account(app, "pythonista")
    device = client.post(DEVICES, json=THERMOSTAT).json
    about = {**DESCALE, "device": device["id"]}
    todo, answers = client.post(TODOS, json=about).json, []
    url, body = (TODOS, about) if verb == "POST" else (todo["url"], {"done": True})

    def send():
        answers.append(client.open(url, method=verb, json=body))

    other = Thread(target=send)
    with app.app_context(), unit_of_work():
        record = Device.lock_or_404(device["id"])
        other.start()
        other.join(0.3)
        record.delete()
    other.join(10)
    client.delete(todo["url"])
    assert answers[0].status_code == status
    if verb == "POST":
        assert pointers(answers[0]) == ["/device"]


# Values


@pytest.mark.parametrize(
    "name, value",
    [
        ("done", "true"),
        ("done", 1),
        ("done", None),  # a patch resets it
        ("due_at", 0),
        ("due_at", "2026-11-21"),
        ("due_at", "2026-11-21T07:40:00"),
        ("due_at", "0001-01-01T00:00:00+14:00"),
        ("due_at", "9999-12-31T23:59:59.999999Z"),  # means none
        ("device", "7"),
        ("device", True),
    ],
)
def test_a_value_of_another_type_is_refused(client, todo, name, value):
    body = {**DESCALE, name: value}
    for verb, url in ("POST", TODOS), ("PUT", todo["url"]), ("PATCH", todo["url"]):
        if (verb, value) != ("PATCH", None):
            assert pointers(client.open(url, method=verb, json=body)) == [f"/{name}"]
    assert client.get(TODOS).json["items"] == [todo]


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
def test_a_time_is_kept_to_the_microsecond_in_utc_and_keeps_its_etag(
    client, device, sent, shown
):
    body = {**DESCALE, "due_at": sent, "device": device["id"], "done": True}
    response = client.post(TODOS, json=body)
    assert (response.status_code, response.json["due_at"]) == (201, shown)
    for read in (
        client.get(response.json["url"]),
        client.put(response.json["url"], json=body),
    ):
        assert read.json == response.json
        assert read.headers["ETag"] == response.headers["ETag"]


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


@pytest.mark.parametrize(
    "sort, pages",
    [
        ("due_at", ["ab", "cd", "ef", "gh"]),
        ("-due_at", ["hg", "fe", "dc", "ba"]),
        ("due_at,-name", ["ab", "dc", "eh", "gf"]),
        ("-due_at,name", ["fg", "he", "cd", "ba"]),
        ("done,due_at", ["bd", "fh", "ac", "eg"]),
        ("-done,due_at", ["ac", "eg", "bd", "fh"]),
        ("done,-due_at", ["hf", "db", "ge", "ca"]),
    ],
)
def test_todos_without_a_time_come_last_in_every_page_direction(
    client, sorted_todos, sort, pages
):
    start = f"{TODOS}?sort={sort}&per_page=2"
    assert walk(client, start, "next") == pages
    last = client.get(start).json["meta"]["last"]
    assert walk(client, last, "prev") == pages[::-1]


@pytest.mark.parametrize(
    "query, names",
    [
        (f"due_at={quote('2026-01-01T01:00:00.000001+01:00')}", "b"),
        ("due_at=9999-12-31T23:59:59Z", "e"),
        ("due_at=2026-03-01T00:00:00Z&done=true", "c"),
    ],
)
def test_a_time_is_a_filter_in_every_zone(client, sorted_todos, query, names):
    body = client.get(f"{TODOS}?{query}").json
    assert (names_of(body["items"]), body["meta"]["total"]) == (names, len(names))


@pytest.mark.parametrize(
    "query",
    "done=yes done=1 due_at=null due_at=9999-12-31T23:59:59.999999Z device=x device=null "
    "sort=task sort=device".split(),
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
