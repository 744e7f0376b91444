"""Heartbeats: what they hold, when they expire, and how they are written back."""

import time
from datetime import datetime, timedelta
from functools import partial

import pytest
from flask import g

from conftest import THERMOSTAT, as_account, create_tables_and_accounts
from myapp.core.data.models import redis_model
from support.assertions import assert_problem
from support.concurrency import at_once

from ..core.data.models import columns
from ..core.data.redis import redis_store
from ..core.data.session import sql, unit_of_work
from ..core.jobs import schedule
from ..core.schema.examples import example_of
from ..devices.models import Device
from . import tasks
from .models import Presence

DEVICES = "/api/v1/devices/"
PRESENCE = "/api/v1/presence/"
READING = example_of(Presence.write_schema)
OTHER_READING = {
    "battery": 12,
    "signal": -100,
    "firmware": "2.0.0-rc1",
    "address": "2001:db8::17",
}


def list_heartbeats(client, **query):
    return client.get(PRESENCE, query_string=query).json["items"]


def pointers(response, status=422):
    return [error["pointer"] for error in assert_problem(response, status)["errors"]]


def seconds(beat):
    """Return the lifetime of a heartbeat in seconds."""
    starts, ends = map(datetime.fromisoformat, (beat["last_seen"], beat["expires_at"]))
    return (ends - starts).total_seconds()


@pytest.fixture
def address(device):
    """Return the URL of the heartbeat of a device."""
    return f"{PRESENCE}{device['id']}"


@pytest.fixture
def beats(client):
    """Send heartbeats of 7 devices, and return them."""
    results = [client.post(DEVICES, json=THERMOSTAT).json for _ in range(7)]
    return [
        client.put(f"{PRESENCE}{device['id']}", json={"battery": n}).json
        for n, device in enumerate(results)
    ]


@pytest.fixture
def ago(monkeypatch):
    """Return a function that calls another one with an earlier time."""

    def ago(minutes, deed, *args, **kwargs):
        then = columns.now() - timedelta(minutes=minutes)
        with monkeypatch.context() as patched:
            patched.setattr(redis_model, "now", lambda: then)
            return deed(*args, **kwargs)

    return ago


# Heartbeats


def test_the_first_heartbeat_creates_and_the_next_one_replaces(
    app, client, address, device, ago
):
    response = ago(1, client.put, address, json=READING)
    first = response.json
    assert (response.status_code, first["url"]) == (201, f"http://localhost{address}")
    assert client.get(address).json == first
    assert first.items() >= READING.items()
    assert (first["device_id"], first["online"]) == (device["id"], True)
    assert first["created_at"] <= first["last_seen"] == first["updated_at"]
    assert seconds(first) == 300
    app.config["PRESENCE_TTL"] = 250
    response = client.put(address, json=OTHER_READING)
    second = response.json
    assert response.status_code == 200
    assert second.items() >= OTHER_READING.items()
    assert second["created_at"] == first["created_at"]
    assert first["last_seen"] < second["last_seen"] == second["updated_at"]
    assert seconds(second) == 250
    assert client.get(address).json == second
    assert list_heartbeats(client) == [second]


def test_a_device_without_heartbeats_is_offline(app, client, address, beats):
    client.put(address, json={})
    assert len(list_heartbeats(client)) == len(beats) + 1
    app.config["PRESENCE_TTL"] = 1
    end = datetime.fromisoformat(client.put(address, json={}).json["expires_at"])
    time.sleep(max(0, end.timestamp() - time.time()) + 0.02)
    assert client.get(address).status_code == 404
    assert list_heartbeats(client) == beats
    assert client.get(PRESENCE).json["meta"]["total"] == len(beats)
    assert client.put(address, json={}).status_code == 201


def test_a_device_that_signs_off_or_is_deleted_is_offline_as_one_never_seen(
    client, device, address
):
    assert client.delete(address).status_code == 404
    client.put(address, json=READING)
    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == 404
    assert client.delete(address).status_code == 404
    assert list_heartbeats(client) == []
    client.put(address, json=READING)
    client.delete(device["url"])
    assert list_heartbeats(client) == []
    for verb in ("GET", "PUT", "DELETE"):
        assert client.open(address, method=verb, json={}).status_code == 404


def test_another_account_neither_lists_nor_changes_a_heartbeat(
    client, engineer, address, beats
):
    for url in (address, beats[0]["url"]):
        for verb in ("PUT", "DELETE"):
            assert engineer.open(url, method=verb, json={}).status_code == 404
    theirs = engineer.get(PRESENCE).json
    assert (theirs["items"], theirs["meta"]["total"]) == ([], 0)
    own = engineer.post(DEVICES, json=THERMOSTAT).json
    beat = engineer.put(f"{PRESENCE}{own['id']}", json={}).json
    assert list_heartbeats(engineer) == [beat]
    assert list_heartbeats(client) == beats


# Readings


@pytest.mark.parametrize(
    "text",
    "0.0.0.0 255.255.255.255 :: 2001:DB8::1 ::ffff:192.0.2.17 "
    "1111:2222:3333:4444:5555:6666:7777:8888".split(),
)
def test_an_address_comes_back_and_a_missing_or_null_reading_is_null(
    client, address, text
):
    for nothing in {}, dict.fromkeys(READING):
        client.put(address, json={**READING, "address": text})
        read = client.get(address).json
        assert read.items() >= {**READING, "address": text}.items()
        client.put(address, json=nothing)
        assert client.get(address).json.items() >= dict.fromkeys(READING).items()


@pytest.mark.parametrize(
    "name, values",
    [
        ("battery", ["50", True, [50], 1e300]),
        ("signal", ["-60", False]),
        ("firmware", [1.4]),
        ("address", ["", "localhost", "256.1.1.1", "1.2.3", "01.2.3.4", "1.2.3.4/24"]),
        ("address", ["1.2.3.4 ", "::g", "1::2::3", "fe80::1%eth0", "[::1]", 16909060]),
        *[(n, [None]) for n in ("device_id", "online", "last_seen", "expires_at")],
    ],
)
def test_an_invalid_reading_is_refused(client, address, name, values):
    for value in values:
        assert pointers(client.put(address, json={name: value})) == [f"/{name}"]
    assert list_heartbeats(client) == []


# The list


def test_a_filter_matches_exactly_or_is_refused_and_a_search_covers_every_text(
    client, address, ago
):
    one = ago(1, client.put, address, json=READING).json
    device = client.post(DEVICES, json=THERMOSTAT).json
    two = client.put(f"{PRESENCE}{device['id']}", json=OTHER_READING).json
    for field in one.keys() - {"url", "online"}:
        for beat in (one, two):
            assert list_heartbeats(client, **{field: beat[field]}) == [beat], field
    assert list_heartbeats(client, online="true") == [one, two]
    assert list_heartbeats(client, online="false") == []
    for words in "RC1", "rc1", "DB8::17":
        assert list_heartbeats(client, q=words) == [two]
    urls = client.get(f"{PRESENCE}?view=urls").json["urls"]
    assert urls == [one["url"], two["url"]]
    for name in "battery", "online", "last_seen", "sort":
        refused = client.get(PRESENCE, query_string={name: "nonsense"})
        assert pointers(refused, 400) == [f"/{name}"]


# Concurrency


@pytest.mark.parametrize(
    "is_first, overtaken_by, verb, status",
    [
        (False, "PUT", "PUT", 200),
        (True, "PUT", "PUT", 200),
        (False, "DELETE", "PUT", 201),
        (False, "PUT", "PUT with the ETag", 412),
        (False, "PUT", "DELETE with the ETag", 412),
    ],
)
def test_a_change_that_was_overtaken_follows_it_or_fails_its_precondition(
    client, address, monkeypatch, is_first, overtaken_by, verb, status
):
    swap, headers = Presence._compare_and_set, {}
    if not is_first:
        tag = client.put(address, json=READING).headers["ETag"]
        headers = {"If-Match": tag} if "ETag" in verb else {}
    pending = [partial(client.open, address, method=overtaken_by, json={"battery": 1})]

    def overtake(self, new):
        """Let another request change the heartbeat between read and write."""
        if pending:
            pending.pop()()
        return swap(self, new)

    monkeypatch.setattr(Presence, "_compare_and_set", overtake)
    method = verb.split()[0]
    late = client.open(address, method=method, json=OTHER_READING, headers=headers)
    assert late.status_code == status
    stored = {"battery": 1} if status == 412 else OTHER_READING
    (beat,) = list_heartbeats(client)
    assert beat.items() >= stored.items()
    assert client.get(address).json == beat


# Write-back


def sweep(app):
    """Run the task, and return how many devices it has seen and how many have expired."""
    with app.app_context():
        result = schedule.periodic_tasks()["presence.write_back"].run()
    seen, _, _, silent, *_ = (result or "0 devices seen, 0 fell silent").split()
    return int(seen), int(silent)


def last_seen(app):
    """Return when each device was last seen, by its id, without devices never seen."""
    columns = Device.id, Device.last_seen_at
    seen = sql.select(*columns).where(Device.last_seen_at.is_not(None))
    with app.app_context(), unit_of_work(writes=False):
        rows = sql.session.execute(seen).all()
    return {id: f"{moment.isoformat()}Z" for id, moment in rows}


def test_the_last_heartbeat_of_each_device_is_written_back_in_batches(
    app, client, beats, ago, monkeypatch
):
    monkeypatch.setattr(tasks, "BATCH_ROWS", 2)
    client.post(DEVICES, json=THERMOSTAT)  # without any heartbeat
    assert last_seen(app) == {}
    assert sweep(app) == (7, 0)
    assert last_seen(app) == {beat["id"]: beat["last_seen"] for beat in beats}
    assert sweep(app) == (0, 0)
    later = ago(-1, client.put, beats[0]["url"], json={}).json["last_seen"]
    assert sweep(app) == (0, 0), "a time in the future is not written yet"
    client.put(beats[0]["url"], json={})
    ago(2, client.put, beats[1]["url"], json={})
    assert sweep(app)[0] <= 1, "an older heartbeat changes nothing"
    assert beats[0]["last_seen"] <= last_seen(app)[beats[0]["id"]] < later
    assert last_seen(app)[beats[1]["id"]] == beats[1]["last_seen"]


def test_write_back_does_not_modify_the_device(app, client, device, address):
    with app.app_context(), unit_of_work():
        long_ago = {"updated_at": columns.now() - timedelta(minutes=10)}
        sql.session.execute(sql.update(Device).values(long_ago))
    before = client.get(device["url"])
    client.put(address, json={})
    assert sweep(app) == (1, 0)
    after = client.get(before.json["url"])
    assert (after.data, after.headers["ETag"]) == (before.data, before.headers["ETag"])
    headers = {"If-Match": before.headers["ETag"]}
    changed = client.put(before.json["url"], json=THERMOSTAT, headers=headers)
    assert changed.status_code == 200


def test_an_expired_heartbeat_is_counted_once_and_not_by_an_interrupted_write_back(
    app, client, beats, ago, monkeypatch, metric_increase  # noqa: F811
):
    silent = ago(10, client.put, beats[3]["url"], json={}).json
    with monkeypatch.context() as patched:
        patched.setattr(Device, "record_heartbeats", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sweep(app)
    assert metric_increase("devices_fell_silent_total") == 0
    assert sweep(app) == (7, 1)
    assert sweep(app) == (0, 0)
    soon = time.time() + 5
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: soon)
        assert sweep(app) == (0, 0)
    assert last_seen(app)[silent["id"]] == silent["last_seen"]
    assert metric_increase("devices_fell_silent_total") == 1


def test_a_device_that_signs_off_is_not_counted(app, client, beats, ago):
    ago(4, client.put, beats[3]["url"], json={})  # and would have expired by now
    client.delete(beats[3]["url"])
    app.config["PRESENCE_TTL"] = 60
    assert sweep(app) == (0, 0)
    app.config["PRESENCE_TTL"] = 300
    assert sweep(app) == (6, 0)


def test_a_heartbeat_is_kept_for_a_late_write_back_and_then_dropped_by_the_next(
    app, client, beats, ago
):
    for beat in beats[:3]:
        ago(60, client.put, beat["url"], json={})
    client.put(beats[4]["url"], json={})  # a change drops old heartbeats
    assert sweep(app) == (7, 3)
    for beat in beats[:3]:
        ago(66, client.put, beat["url"], json={})
    client.put(beats[4]["url"], json={})
    assert redis_store.zcard(Presence._index({})) == 4
    assert 3600 < redis_store.ttl(Presence._index({})) <= 3900
    assert list_heartbeats(client) == client.get(PRESENCE).json["items"]
    assert client.get(f"{DEVICES}summary").json["online"] == 4


def test_two_concurrent_write_backs_count_a_heartbeat_once(live_app, ago):
    client = as_account(live_app, "pythonista")
    for _ in range(8):
        device = client.post(DEVICES, json=THERMOSTAT).json
        ago(10, client.put, f"{PRESENCE}{device['id']}", json={})
    result = at_once(*[partial(sweep, live_app)] * 4)
    assert [sum(counts) for counts in zip(*result)] == [8, 8]
    assert len(last_seen(live_app)) == 8


# Without Redis


def test_without_redis_presence_is_503_and_devices_work(make_app, empty_uri):
    app = make_app(REDIS_URL="redis://127.0.0.1:1/0", SQLALCHEMY_DATABASE_URI=empty_uri)
    create_tables_and_accounts(app)
    client = as_account(app, "pythonista")
    response = client.post(DEVICES, json=THERMOSTAT)
    assert response.status_code == 201
    address = f"{PRESENCE}{response.json['id']}"
    others = [(verb, address) for verb in ("GET", "PUT", "DELETE")]
    for verb, path in [("GET", PRESENCE), *others]:
        started = time.monotonic()
        refused = client.open(path, method=verb, json=READING)
        assert time.monotonic() - started < 1
        assert_problem(refused, 503)
        assert int(refused.headers["Retry-After"]) > 0
    ready = client.get("/status/ready")
    assert ready.status_code == 503
    assert ready.json["redis"] != "ok"
    assert ready.json["database"] == ready.json["migrations"] == "ok"
    assert client.get(response.json["url"]).json == response.json
    assert client.delete(response.json["url"]).status_code == 204
    assert client.get(response.json["url"]).status_code == 404


# Ids from Redis


def test_a_retry_replaces_the_heartbeat_of_a_request_that_died(app, client):
    owner_id = client.get("/api/v1/account").json["id"]
    results = []
    for once in ("a key", "a key", "another key", None, None):
        with app.app_context():
            g.idempotency_digest = once
            results.append(Presence.create(owner_id=owner_id, **READING).id)
            alive = Presence.count()
    assert results == [1, 1, 2, 3, 4]
    assert alive == 4
