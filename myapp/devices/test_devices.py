import gzip
import unicodedata
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import pytest
from conftest import THERMOSTAT, as_account
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.http import parse_options_header

from myapp.db import sql, unit_of_work
from myapp.devices.models import Device

DEVICES = "/api/v1/devices/"
CAMERA = {
    "name": "Front Door Camera",
    "location": "Front Door",
    "type": "Camera",
    "model": "Belvedere 4K",
    "serial_number": "BELV-00017",
}
WRITTEN = sorted(THERMOSTAT)
READ_ONLY = ["id", "url", "owner", "created_at", "updated_at"]
LONG_AGO = "2020-02-29T12:00:00Z"


def listed(client, **query):
    return client.get(DEVICES, query_string=query).json["items"]


def problem(response, status):
    """The problem that a response must be, without what differs from call to call."""
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    assert response.json["status"] == status
    assert response.json["request_id"] == response.headers["X-Request-ID"]
    return {k: v for k, v in response.json.items() if k != "request_id"}


def pointers(response, status=422):
    return sorted(error["pointer"] for error in problem(response, status)["errors"])


@pytest.fixture
def old_device(app, client, device):
    """The device, as if it had come and last changed long ago."""
    moment = datetime.fromisoformat(LONG_AGO).replace(tzinfo=None)
    with app.app_context(), unit_of_work():
        sql.session.execute(
            sql.update(Device)
            .where(Device.id == device["id"])
            .values(created_at=moment, updated_at=moment)
        )
    return client.get(device["url"]).json


# Registering, reading, forgetting


def test_a_device_is_registered(client):
    made = client.post(DEVICES, json=THERMOSTAT)
    assert made.status_code == 201
    assert made.headers["Location"] == made.json["url"]
    assert made.json["url"] == f"http://localhost{DEVICES}{made.json['id']}"
    assert made.json.items() >= THERMOSTAT.items()
    assert made.json["owner"] == "pythonista"
    assert made.json["created_at"] == made.json["updated_at"]
    age = datetime.now(UTC) - datetime.fromisoformat(made.json["created_at"])
    assert timedelta(0) <= age < timedelta(seconds=10)


def test_a_device_is_read_as_it_was_registered(client):
    made = client.post(DEVICES, json=THERMOSTAT)
    read = client.get(made.headers["Location"])
    assert read.status_code == 200
    assert read.json == made.json
    assert read.headers["ETag"] == made.headers["ETag"]


def test_the_collection_lists_the_newest_device_last(client):
    made = [client.post(DEVICES, json=body).json for body in (THERMOSTAT, CAMERA)]
    assert listed(client) == made


def test_a_forgotten_device_is_gone(client, device):
    forgotten = client.delete(device["url"])
    assert forgotten.status_code == 204
    assert forgotten.data == b""
    assert "Content-Type" not in forgotten.headers
    assert listed(client) == []
    problem(client.get(device["url"]), 404)
    problem(client.delete(device["url"]), 404)


def test_the_id_of_a_forgotten_device_never_comes_back(client, device):
    client.delete(device["url"])
    assert client.post(DEVICES, json=THERMOSTAT).json["id"] > device["id"]


@pytest.mark.parametrize("id", ["0", "-1", "1.5", "x", "9" * 19, "9" * 30, "%00"])
def test_what_cannot_be_an_id_is_not_found(client, id):
    problem(client.get(DEVICES + id), 404)


def test_a_collection_answers_with_and_without_its_slash(client, device):
    for address in (DEVICES, DEVICES.rstrip("/")):
        assert client.get(address).json["items"][0] == device
        assert client.post(address, json=THERMOSTAT).status_code == 201


@pytest.mark.parametrize("path", [DEVICES, "", "/report"])
def test_head_has_the_headers_of_get(client, device, path):
    address = path if path == DEVICES else device["url"] + path
    get, head = (
        client.open(address, method=verb, headers={"X-Request-ID": "the-same"})
        for verb in ("GET", "HEAD")
    )
    assert get.status_code == head.status_code == 200
    assert head.headers == get.headers
    assert get.data and not head.data


VERBS = {
    DEVICES: {"GET", "HEAD", "OPTIONS", "POST"},
    f"{DEVICES}1": {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"},
    f"{DEVICES}1/report": {"GET", "HEAD", "OPTIONS"},
}


@pytest.mark.parametrize("address", VERBS)
def test_options_tells_the_verbs(stranger, address):
    told = stranger.options(address)
    assert told.status_code == 200
    assert set(told.allow) == VERBS[address]


@pytest.mark.parametrize(
    "verb, address",
    [
        (verb, address)
        for address, verbs in VERBS.items()
        for verb in ("POST", "PUT", "PATCH", "DELETE", "BREW")
        if verb not in verbs
    ],
)
def test_a_wrong_verb_is_told_the_right_ones(client, verb, address):
    refused = client.open(address, method=verb, json=THERMOSTAT)
    problem(refused, 405)
    assert set(refused.allow) == VERBS[address]


# Whose it is

EVERY_WAY = [
    ("GET", ""),
    ("HEAD", ""),
    ("PUT", ""),
    ("PATCH", ""),
    ("DELETE", ""),
    ("GET", "/report"),
]


@pytest.mark.parametrize("verb, path", EVERY_WAY)
def test_a_device_of_somebody_else_is_not_found(client, engineer, device, verb, path):
    theirs, nobodys = (
        engineer.open(address + path, method=verb, json=CAMERA)
        for address in (device["url"], f"{DEVICES}{2**62}")
    )
    assert theirs.status_code == nobodys.status_code == 404
    if verb != "HEAD":
        assert problem(theirs, 404) == problem(nobodys, 404)
    assert client.get(device["url"]).json == device


@pytest.mark.parametrize("query", [{}, {"owner": "pythonista"}, {"q": "Kitchen"}])
def test_nobody_lists_the_devices_of_somebody_else(client, engineer, device, query):
    assert listed(client, **query) == [device]
    theirs = engineer.get(DEVICES, query_string=query).json
    assert theirs["items"] == []
    assert theirs["meta"]["total"] == 0


@pytest.mark.parametrize("verb, path", [*EVERY_WAY, ("GET", "/.."), ("POST", "/..")])
def test_a_stranger_gets_nowhere(client, stranger, device, verb, path):
    address = DEVICES if path == "/.." else device["url"] + path
    refused = stranger.open(address, method=verb, json=CAMERA)
    assert refused.status_code == 401
    assert "WWW-Authenticate" in refused.headers
    assert listed(client) == [device]


def test_without_its_database_the_service_says_when_to_come_again(make_app):
    app = make_app(SQLALCHEMY_DATABASE_URI="sqlite:////there/is/no/such.sqlite3")
    refused = as_account(app, "pythonista").get(DEVICES)
    assert "sqlite" not in str(problem(refused, 503))
    assert int(refused.headers["Retry-After"]) > 0


# Bodies


@pytest.mark.parametrize(
    "change, faults",
    [
        ({"name": ""}, ["/name"]),
        ({"name": "x" * 65}, ["/name"]),
        ({"name": None}, ["/name"]),
        ({"name": 7}, ["/name"]),
        ({"name": ["x"]}, ["/name"]),
        ({"name": "a\0b"}, ["/name"]),
        ({"colour": "red"}, ["/colour"]),
        ({"a/b~c": 1}, ["/a~1b~0c"]),
        (dict.fromkeys(READ_ONLY, 1), sorted(f"/{name}" for name in READ_ONLY)),
        ({"name": "", "type": 7, "colour": None}, ["/colour", "/name", "/type"]),
    ],
)
@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH"])
def test_a_body_is_told_every_fault_at_once(client, device, verb, change, faults):
    address = DEVICES if verb == "POST" else device["url"]
    body = change if verb == "PATCH" else {**THERMOSTAT, **change}
    assert pointers(client.open(address, method=verb, json=body)) == faults
    assert listed(client) == [device]


@pytest.mark.parametrize("verb", ["POST", "PUT"])
def test_every_property_is_required(client, device, verb):
    address = DEVICES if verb == "POST" else device["url"]
    refused = client.open(address, method=verb, json={})
    assert pointers(refused) == [f"/{name}" for name in WRITTEN]


@pytest.mark.parametrize("body", [[], "text", 7, True, None, [THERMOSTAT]])
@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH"])
def test_a_body_that_is_no_object_does_not_fit(client, device, verb, body):
    address = DEVICES if verb == "POST" else device["url"]
    sent = client.open(
        address, method=verb, data=sql_free_json(body), content_type="application/json"
    )
    assert pointers(sent) == [""]


def sql_free_json(body):
    return __import__("json").dumps(body)
