import time
from datetime import datetime, timedelta
from functools import partial

import pytest
from flask import g

from conftest import THERMOSTAT, as_account, create_tables_and_accounts
from myapp.core.data.models import redis_model
from support.concurrency import at_once

from ..core.data.models import columns
from ..core.data.redis import redis_store
from ..core.data.session import sql, unit_of_work
from ..core.jobs import schedule
from ..devices.models import Device
from . import tasks
from .models import Presence

DEVICES = "/api/v1/devices/"
PRESENCE = "/api/v1/presence/"
READING = {
    "battery": 87,
    "signal": -61,
    "firmware": "1.4.2",
    "address": "192.0.2.17",
}
OTHER_READING = {
    "battery": 12,
    "signal": -100,
    "firmware": "2.0.0-rc1",
    "address": "2001:db8::17",
}


def list_heartbeats(client, **query):
    return client.get(PRESENCE, query_string=query).json["items"]


def pointers(response):
    assert response.status_code == 422
    assert response.mimetype == "application/problem+json"
    return sorted(error["pointer"] for error in response.json["errors"])


def seconds(beat):
    """Return the lifetime of a heartbeat in seconds."""
    ends, starts = (
        datetime.fromisoformat(beat[name]) for name in ("expires_at", "last_seen")
    )
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


# Heartbeats


def test_the_first_heartbeat_creates_and_the_next_one_replaces(client, address, device):
    first = client.put(address, json=READING)
    assert first.status_code == 201
    assert first.headers["Location"] == first.json["url"]
    assert first.json["url"] == f"http://localhost{address}"
    assert first.json.items() >= {**READING, "device_id": device["id"]}.items()
    assert first.json["online"] is True
    assert client.get(address).json == first.json
    second = client.put(address, json=OTHER_READING)
    assert second.status_code == 200
    assert "Location" not in second.headers
    assert second.json.items() >= OTHER_READING.items()
    assert client.get(address).json == second.json
    assert list_heartbeats(client) == [second.json]


def test_a_heartbeat_changes_last_seen_and_not_created_at(client, address, monkeypatch):
    first = client.put(address, json={}).json
    later = columns.now() + timedelta(minutes=1)
    monkeypatch.setattr(redis_model, "now", lambda: later)
    second = client.put(address, json={}).json
    assert first["created_at"] <= first["last_seen"] == first["updated_at"]
    assert second["created_at"] == first["created_at"]
    assert second["last_seen"] == second["updated_at"] == f"{later.isoformat()}Z"
    assert second["expires_at"] > first["expires_at"]


def test_the_lifetime_of_a_heartbeat_is_a_setting(app, client, address):
    assert seconds(client.put(address, json={}).json) == 300
    app.config["PRESENCE_TTL"] = 7
    assert seconds(client.put(address, json={}).json) == 7


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


def test_a_device_that_signs_off_is_offline(client, address):
    client.put(address, json=READING)
    gone = client.delete(address)
    assert (gone.status_code, gone.data) == (204, b"")
    assert client.get(address).status_code == 404
    assert client.delete(address).status_code == 404
    assert list_heartbeats(client) == []


def test_a_deleted_device_is_not_online(client, device, address):
    client.put(address, json=READING)
    client.delete(device["url"])
    assert list_heartbeats(client) == []
    for verb in ("GET", "PUT", "DELETE"):
        assert client.open(address, method=verb, json={}).status_code == 404


def test_a_device_that_was_never_seen_is_not_online(client, address):
    assert client.get(address).status_code == 404
    assert client.delete(address).status_code == 404
    assert list_heartbeats(client) == []


@pytest.mark.parametrize("id", [2**62, 0, "x"])
@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE"])
def test_an_id_without_a_device_is_404(client, verb, id):
    assert client.open(f"{PRESENCE}{id}", method=verb, json={}).status_code == 404


@pytest.mark.parametrize(
    "path, allowed",
    [
        ("", {"GET", "HEAD", "OPTIONS"}),
        ("1", {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}),
    ],
)
@pytest.mark.parametrize("verb", ["POST", "PATCH"])
def test_a_wrong_verb_is_405_with_the_allowed_ones(client, verb, path, allowed):
    refused = client.open(PRESENCE + path, method=verb, json={})
    assert refused.status_code == 405
    assert set(refused.allow) == set(client.options(PRESENCE + path).allow) == allowed


def test_head_has_the_headers_of_get(client, address):
    client.put(address, json=READING)
    for path in (address, PRESENCE):
        get, head = (
            client.open(path, method=verb, headers={"X-Request-ID": "the-same"})
            for verb in ("GET", "HEAD")
        )
        assert (head.status_code, head.data) == (200, b"")
        assert head.headers == get.headers


def test_the_collection_has_two_urls_with_and_without_a_slash(client, beats):
    for path in (PRESENCE, PRESENCE.rstrip("/")):
        assert client.get(path).json["items"] == beats


# Ownership


@pytest.mark.parametrize("verb", ["GET", "HEAD", "PUT", "DELETE"])
def test_a_device_of_another_account_is_not_found(client, engineer, address, verb):
    assert engineer.open(address, method=verb, json={}).status_code == 404
    assert list_heartbeats(client) == []  # and it is not online either
    beat = client.put(address, json=READING).json
    assert engineer.open(address, method=verb, json={}).status_code == 404
    assert client.get(address).json == beat


def test_the_list_holds_no_devices_of_other_accounts(client, engineer, beats):
    theirs = engineer.get(PRESENCE).json
    assert (theirs["items"], theirs["meta"]["total"]) == ([], 0)
    own = engineer.post(DEVICES, json=THERMOSTAT).json
    beat = engineer.put(f"{PRESENCE}{own['id']}", json={}).json
    assert list_heartbeats(engineer) == [beat]
    assert list_heartbeats(client) == beats


@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE"])
def test_without_credentials_every_request_is_401(client, stranger, address, verb):
    assert stranger.get(PRESENCE).status_code == 401
    assert stranger.open(address, method=verb, json={}).status_code == 401
    assert list_heartbeats(client) == []


# Readings


@pytest.mark.parametrize(
    "reading",
    [
        {"battery": 0},
        {"battery": 100},
        {"signal": -120},
        {"signal": 0},
        {"firmware": "1"},
        {"firmware": "v" * 64},
        {"address": "0.0.0.0"},
        {"address": "255.255.255.255"},
        {"address": "::"},
        {"address": "2001:DB8::1"},
        {"address": "::ffff:192.0.2.17"},
        {"address": "1111:2222:3333:4444:5555:6666:7777:8888"},
    ],
)
def test_a_reading_within_its_range_comes_back(client, address, reading):
    assert client.put(address, json=reading).status_code == 201
    assert client.get(address).json.items() >= reading.items()


@pytest.mark.parametrize(
    "name, value",
    [("battery", value) for value in (-1, 101, 50.5, "50", True, [50], 1e300)]
    + [("signal", value) for value in (-121, 1, -60.5, "-60", False)]
    + [("firmware", value) for value in ("", "v" * 65, 1.4, "a\0b")]
    + [
        ("address", value)
        for value in (
            "",
            "localhost",
            "256.1.1.1",
            "1.2.3",
            "01.2.3.4",
            "1.2.3.4/24",
            "1.2.3.4 ",
            "::g",
            "1::2::3",
            "fe80::1%eth0",
            "[::1]",
            16909060,
        )
    ]
    + [(name, 1) for name in ("id", "url", "created_at", "updated_at", "colour")]
    + [(name, None) for name in ("device_id", "online", "last_seen", "expires_at")],
)
def test_an_invalid_reading_is_refused(client, address, name, value):
    assert pointers(client.put(address, json={name: value})) == [f"/{name}"]
    assert list_heartbeats(client) == []


def test_an_invalid_reading_is_answered_with_every_error(client, address):
    faulty = {"battery": 101, "signal": 1, "firmware": "", "address": "", "x": 1}
    assert pointers(client.put(address, json=faulty)) == sorted(f"/{n}" for n in faulty)


@pytest.mark.parametrize("body", [{}, dict.fromkeys(READING)])
def test_a_missing_or_null_reading_is_null(client, address, body):
    client.put(address, json=READING)
    assert client.put(address, json=body).status_code == 200
    assert client.get(address).json.items() >= dict.fromkeys(READING).items()


def test_an_integer_may_have_a_decimal_point(client, address):
    sent = client.put(address, data='{"battery": 5e1}', content_type="application/json")
    assert '"battery":50,' in sent.text


@pytest.mark.parametrize(
    "body, media_type, status",
    [
        ("{", "application/json", 400),
        ("", "application/json", 400),
        ("[]", "application/json", 422),
        ("null", "application/json", 422),
        ("{}", "application/merge-patch+json", 415),
        ("battery=5", "application/x-www-form-urlencoded", 415),
    ],
)
def test_a_body_that_is_not_a_json_object_is_refused(
    client, address, body, media_type, status
):
    refused = client.put(address, data=body, content_type=media_type)
    assert refused.status_code == status
    assert list_heartbeats(client) == []


# The list


@pytest.fixture
def pair(client, address, monkeypatch):
    """Send two heartbeats with different values, and return them."""
    one = client.put(address, json=READING).json
    later = columns.now() + timedelta(minutes=1)
    monkeypatch.setattr(redis_model, "now", lambda: later)
    device = client.post(DEVICES, json=THERMOSTAT).json
    return one, client.put(f"{PRESENCE}{device['id']}", json=OTHER_READING).json


@pytest.mark.parametrize(
    "field",
    [
        *READING,
        "id",
        "device_id",
        "last_seen",
        "expires_at",
        "created_at",
        "updated_at",
    ],
)
def test_a_filter_matches_exactly(client, pair, field):
    for beat in pair:
        assert list_heartbeats(client, **{field: beat[field]}) == [beat]


def test_an_offline_device_is_not_listed(client, pair):
    assert list_heartbeats(client, online="true") == list(pair)
    assert list_heartbeats(client, online="false") == []


def test_filters_are_combined_with_and(client, pair):
    assert list_heartbeats(client, battery=87, signal=-61) == [pair[0]]
    assert list_heartbeats(client, battery=87, signal=-100) == []


@pytest.mark.parametrize("words", ["RC1", "rc1", "DB8::17"])
def test_a_search_covers_every_text_property(client, pair, words):
    assert list_heartbeats(client, q=words) == [pair[1]]


@pytest.mark.parametrize("words", ["%", "r_1", "nothing"])
def test_a_search_has_no_wildcards(client, pair, words):
    assert list_heartbeats(client, q=words) == []


@pytest.mark.parametrize("name", ["battery", "online", "last_seen", "sort"])
def test_an_invalid_value_is_answered_with_its_location(client, name):
    refused = client.get(PRESENCE, query_string={name: "nonsense"})
    assert refused.status_code == 400
    assert [error["pointer"] for error in refused.json["errors"]] == [f"/{name}"]


@pytest.mark.parametrize("sort", ["", "sort=id&", "sort=-id&"])
def test_links_lead_through_all_heartbeats_and_back(client, beats, sort):
    if "-" in sort:
        beats.reverse()
    expected = [beats[:3], beats[3:6], beats[6:]]
    there, back = [], []
    page = client.get(f"{PRESENCE}?{sort}per_page=3").json
    meta = page["meta"]
    assert (meta["total"], meta["total_exact"], meta["pages"]) == (7, True, 3)
    while page:
        there.append(page["items"])
        address = page["meta"]["next"]
        page = address and client.get(address).json
    page = client.get(meta["last"]).json
    while page:
        back.append(page["items"])
        address = page["meta"]["prev"]
        page = address and client.get(address).json
    assert (there, back[::-1]) == (expected, expected)
    for number in (1, 2, 3, 4):
        query = f"?{sort}per_page=3&page={number}"
        items = client.get(PRESENCE + query).json["items"]
        assert items == [*expected, []][number - 1]


def test_a_heartbeat_that_expires_between_two_pages_hides_no_other(client, beats):
    page = client.get(f"{PRESENCE}?per_page=3").json
    for beat in (beats[0], beats[2], beats[4]):
        client.delete(beat["url"])
    rest = client.get(page["meta"]["next"]).json
    assert rest["items"] == [beats[3], beats[5], beats[6]]


def test_the_view_urls_lists_only_urls(client, beats):
    assert client.get(f"{PRESENCE}?view=urls").json["urls"] == [
        beat["url"] for beat in beats
    ]


# Concurrency


@pytest.fixture
def meanwhile(monkeypatch):
    """Return a function that arranges a call between read and write of a heartbeat."""

    def arrange(happen):
        swap, pending = Presence._compare_and_set, [happen]

        def late(self, new):
            if pending:
                pending.pop()()
            return swap(self, new)

        monkeypatch.setattr(Presence, "_compare_and_set", late)

    return arrange


def test_a_heartbeat_that_was_overtaken_is_stored(client, address, meanwhile):
    client.put(address, json=READING)
    meanwhile(lambda: client.put(address, json={"battery": 1}))
    late = client.put(address, json=OTHER_READING)
    assert late.status_code == 200
    assert client.get(address).json.items() >= OTHER_READING.items()


def test_a_first_heartbeat_that_was_overtaken_is_the_second(client, address, meanwhile):
    meanwhile(lambda: client.put(address, json=READING))
    assert client.put(address, json=OTHER_READING).status_code == 200
    assert list_heartbeats(client) == [client.get(address).json]


def test_a_heartbeat_that_was_overtaken_by_the_end_is_the_first(
    client, address, meanwhile
):
    client.put(address, json=READING)
    meanwhile(lambda: client.delete(address))
    assert client.put(address, json=OTHER_READING).status_code == 201


@pytest.mark.parametrize("verb", ["PUT", "DELETE"])
def test_a_change_that_was_overtaken_fails_its_precondition(
    client, address, meanwhile, verb
):
    tag = client.put(address, json=READING).headers["ETag"]
    meanwhile(lambda: client.put(address, json={"battery": 1}))
    headers = {"If-Match": tag}
    late = client.open(address, method=verb, json=OTHER_READING, headers=headers)
    assert late.status_code == 412
    assert client.get(address).json["battery"] == 1


# Write-back


@pytest.fixture
def ago(monkeypatch):
    """Return a function that calls another one with an earlier time."""

    def ago(minutes, deed, *args, **kwargs):
        then = columns.now() - timedelta(minutes=minutes)
        with monkeypatch.context() as patched:
            patched.setattr(redis_model, "now", lambda: then)
            return deed(*args, **kwargs)

    return ago


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


def test_the_last_heartbeat_of_each_device_is_written_back(app, client, beats, ago):
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


def test_an_expired_heartbeat_is_counted_once(
    app, client, beats, ago, monkeypatch, metric_increase  # noqa: F811
):
    silent = ago(10, client.put, beats[3]["url"], json={}).json
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


def test_a_late_write_back_loses_nothing(app, client, beats, ago):
    for beat in beats[:3]:
        ago(60, client.put, beat["url"], json={})
    client.put(beats[4]["url"], json={})  # a change drops old heartbeats
    assert sweep(app) == (7, 3)


def test_the_next_heartbeat_drops_those_that_expired_long_ago(app, client, beats, ago):
    for beat in beats[:3]:
        ago(66, client.put, beat["url"], json={})
    client.put(beats[4]["url"], json={})
    assert redis_store.zcard(Presence._index({})) == 4
    assert 3600 < redis_store.ttl(Presence._index({})) <= 3900
    assert list_heartbeats(client) == client.get(PRESENCE).json["items"]
    assert client.get(f"{DEVICES}summary").json["online"] == 4


def test_a_second_with_many_heartbeats_is_written_in_parts(app, beats, monkeypatch):
    monkeypatch.setattr(tasks, "BATCH_ROWS", 2)
    assert sweep(app) == (7, 0)
    assert len(last_seen(app)) == 7


def test_an_interrupted_write_back_counts_nothing_and_the_next_one_does(
    app, client, beats, ago, monkeypatch, metric_increase  # noqa: F811
):
    ago(10, client.put, beats[3]["url"], json={})
    with monkeypatch.context() as patched:
        patched.setattr(Device, "record_heartbeats", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sweep(app)
    assert metric_increase("devices_fell_silent_total") == 0
    assert sweep(app) == (7, 1)


def test_two_concurrent_write_backs_count_a_heartbeat_once(live_app, ago):
    client = as_account(live_app, "pythonista")
    results = [client.post(DEVICES, json=THERMOSTAT).json for _ in range(8)]
    for device in results:
        ago(10, client.put, f"{PRESENCE}{device['id']}", json={})
    result = at_once(*[partial(sweep, live_app)] * 4)
    assert sum(silent for _, silent in result) == 8
    assert sum(seen for seen, _ in result) == 8
    assert len(last_seen(live_app)) == 8


# Without Redis


def test_without_redis_presence_is_503_and_devices_work(make_app, empty_uri):
    app = make_app(REDIS_URL="redis://127.0.0.1:1/0", SQLALCHEMY_DATABASE_URI=empty_uri)
    create_tables_and_accounts(app)
    client = as_account(app, "pythonista")
    response = client.post(DEVICES, json=THERMOSTAT)
    assert response.status_code == 201
    address = f"{PRESENCE}{response.json['id']}"
    for verb, path in [
        ("GET", PRESENCE),
        ("GET", address),
        ("PUT", address),
        ("DELETE", address),
    ]:
        started = time.monotonic()
        refused = client.open(path, method=verb, json=READING)
        assert time.monotonic() - started < 1
        assert refused.status_code == 503
        assert refused.mimetype == "application/problem+json"
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
