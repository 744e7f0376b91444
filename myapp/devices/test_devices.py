"""Devices: their search, their summary and their report."""

import unicodedata
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from json import dumps

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.http import parse_options_header

from conftest import THERMOSTAT, as_account, record_statements, signed_in_client
from support.assertions import assert_problem

from ..core.data.session import sql, unit_of_work
from .models import Device

DEVICES = "/api/v1/devices/"
SUMMARY = f"{DEVICES}summary"
MERGE_PATCH, JSON = "application/merge-patch+json", "application/json"
CAMERA = {
    "name": "Front Door Camera",
    "location": "Front Door",
    "type": "Camera",
    "model": "Belvedere 4K",
    "serial_number": "BELV-00017",
}
WRITTEN = sorted(THERMOSTAT)
LONG_AGO = "2020-02-29T12:00:00Z"


def list_devices(client, **query):
    return client.get(DEVICES, query_string=query).json["items"]


def pointers(response, status=422):
    return [error["pointer"] for error in assert_problem(response, status)["errors"]]


@pytest.fixture
def old_device(app, client, device):
    """Return a device that was created and last modified long ago."""
    moment = datetime.fromisoformat(LONG_AGO).replace(tzinfo=None)
    with app.app_context(), unit_of_work():
        times = {"created_at": moment, "updated_at": moment}
        sql.session.execute(sql.update(Device).values(times))
    return client.get(device["url"]).json


# Register, change, delete


def test_a_device_is_registered_now_and_its_deletion_has_no_content(client):
    response = client.post(DEVICES, json=THERMOSTAT)
    assert response.json["owner"] == "pythonista"
    assert response.json["created_at"] <= response.json["updated_at"]
    age = datetime.now(UTC) - datetime.fromisoformat(response.json["created_at"])
    assert timedelta(0) <= age < timedelta(seconds=10)
    deleted = client.delete(response.json["url"])
    assert (deleted.status_code, deleted.data) == (204, b"")
    assert "Content-Type" not in deleted.headers


@pytest.mark.parametrize("path", ["", "/report"])
def test_a_device_of_another_account_is_as_one_that_does_not_exist(
    client, engineer, device, path
):
    for verb in ("GET",) if path else ("GET", "PUT", "PATCH", "DELETE"):
        theirs, missing = (
            assert_problem(engineer.open(url + path, method=verb, json=CAMERA), 404)
            for url in (device["url"], f"{DEVICES}{2**62}")
        )
        assert theirs | {"request_id": missing["request_id"]} == missing
    for query in {}, {"owner": "pythonista"}, {"q": "Kitchen"}:
        assert list_devices(client, **query) == [device]
        page = engineer.get(DEVICES, query_string=query).json
        assert (page["items"], page["meta"]["total"]) == ([], 0)


@pytest.mark.parametrize("text", ["x", "🌡" * 64, " ", "a\nb", "<b>", "ü"])
def test_a_text_is_stored_unchanged_and_null_is_refused(client, device, text):
    sent = dict.fromkeys(THERMOSTAT, text)
    response = client.post(DEVICES, json=sent)
    assert client.get(response.json["url"]).json.items() >= sent.items()
    for verb, url in ("POST", DEVICES), ("PUT", device["url"]):
        refused = client.open(url, method=verb, json=dict.fromkeys(WRITTEN))
        assert pointers(refused) == [f"/{name}" for name in WRITTEN]


@pytest.mark.parametrize(
    "verb, media_type, body",
    [
        ("PUT", JSON, CAMERA),
        ("PATCH", JSON, {"location": "Attic", "name": "Dachboden"}),
        ("PATCH", MERGE_PATCH, {"location": "Attic", "name": "Dachboden"}),
        ("PUT", JSON, THERMOSTAT),
        ("PATCH", JSON, {}),
    ],
)
def test_only_a_change_with_a_difference_changes_its_time(
    client, old_device, verb, media_type, body
):
    url = old_device["url"]
    changed = client.open(url, method=verb, data=dumps(body), content_type=media_type)
    updated_at = changed.json["updated_at"]
    assert (updated_at > LONG_AGO) is (body not in (THERMOSTAT, {}))
    assert changed.json == {**old_device, **body, "updated_at": updated_at}
    assert client.get(url).json == changed.json


@pytest.mark.parametrize(
    "verb, header, accepted",
    [
        ("POST", "Accept", JSON),
        ("PUT", "Accept", JSON),
        ("PATCH", "Accept-Patch", f"{MERGE_PATCH}, {JSON}"),
    ],
)
def test_a_body_of_another_media_type_is_415_with_the_accepted_ones(
    client, device, verb, header, accepted
):
    url = DEVICES if verb == "POST" else device["url"]
    for media_type in "text/plain", "application/json-patch+json":
        refused = client.open(url, method=verb, data="[]", content_type=media_type)
        assert_problem(refused, 415)
        assert refused.headers[header] == accepted


# Filters and search


def test_a_filter_matches_exactly_and_a_time_in_any_zone(client, old_device):
    camera = client.post(DEVICES, json=CAMERA).json
    for name in ("kitchen thermostat", "Kitchen", "Kitchen%", ""):
        assert list_devices(client, name=name) == []
    for time in (LONG_AGO, "2020-02-29T13:00:00+01:00"):
        assert list_devices(client, created_at=time) == [old_device]
    for query in {"url": "x"}, {"view": "items"}, {"q": ""}, {"owner": "pythonista"}:
        assert list_devices(client, **query) == [old_device, camera]
    assert list_devices(client, owner="engineer") == []


@pytest.mark.parametrize("field", WRITTEN)
def test_a_search_covers_every_text_property(client, field):
    created = client.post(DEVICES, json={**THERMOSTAT, field: "A fine needle"}).json
    client.post(DEVICES, json=THERMOSTAT)
    assert list_devices(client, q="NEEDLE") == [created]


@pytest.mark.parametrize(
    "name, decoy, words",
    [
        ("Küche", "Kuche", "KÜCHE"),
        ("KÜCHE", "KUCHE", "küche"),
        ("Ku\u0308che", "Kuche", "küche"),
        ("Straße", "Strase", "STRASSE"),
        ("STRASSE", "STRASE", "straße"),
        ("ΣΊΣΥΦΟΣ", "ΣΊΦΟΣ", "σίσυφος"),
        ("back\\slash", "backslash", "K\\S"),
        ("back\\_slash", "back\\xslash", "\\_"),
        ("a/b", "ab", "A/B"),
        ("[a-c]*?", "b", "[a-c]*?"),
        ("🌡 inside", "inside", "🌡"),
    ],
)
def test_a_search_has_no_wildcards_and_ignores_case(client, name, decoy, words):
    created = client.post(DEVICES, json={**CAMERA, "name": name}).json
    client.post(DEVICES, json={**CAMERA, "name": decoy})
    assert list_devices(client, q=words) == [created]


def test_rebuild_search_indexes_existing_devices(app, client, device):
    with app.app_context(), unit_of_work():
        sql.session.execute(sql.text("UPDATE devices SET search = 'green'"))
    assert list_devices(client, q="green") == [device]
    result = app.test_cli_runner().invoke(args=["rebuild-search"])
    assert "1 devices\n" in result.output
    assert list_devices(client, q="green") == []
    assert list_devices(client, q="kitchen") == [device]


@pytest.mark.parametrize("words", ["x", "ﷺ"])  # case folding makes one of them longer
def test_a_search_for_too_long_a_text_is_refused(client, device, words):
    assert list_devices(client, q=words * 250) == []
    refused = client.get(DEVICES, query_string={"q": words * 251})
    assert pointers(refused, 400) == ["/q"]


# The summary


@pytest.fixture
def three_devices(client):
    """Register three devices of two types in two locations."""
    for type, location in ("Lamp", "Hall"), ("Lamp", "Attic"), ("lamp", "Hall"):
        client.post(DEVICES, json={**CAMERA, "type": type, "location": location})


def test_a_summary_counts_by_type_and_location_with_a_query_for_each(
    app, client, engineer, three_devices
):
    empty = {"total": 0, "by_type": {}, "by_location": {}, "online": 0}
    assert engineer.get(SUMMARY).json == empty
    with record_statements(app) as seen:
        response = client.get(SUMMARY)
    assert response.json == {
        "total": 3,
        "by_type": {"Lamp": 2, "lamp": 1},
        "by_location": {"Attic": 1, "Hall": 2},
        "online": 0,
    }
    columns = [text.rpartition(" ")[2] for text, _ in seen if "devices" in text]
    assert columns == ["devices.type", "devices.location"]
    headers = {"If-None-Match": response.headers["ETag"]}
    assert client.get(SUMMARY, headers=headers).status_code == 304
    client.post(DEVICES, json=CAMERA)
    assert client.get(SUMMARY, headers=headers).status_code == 200


def test_a_summary_counts_the_devices_that_the_caller_can_read(
    app, client, engineer, three_devices
):
    created = engineer.post(DEVICES, json=CAMERA).json
    heartbeat = created["url"].replace("/devices/", "/presence/")
    engineer.put(heartbeat, json={})
    body = client.get(SUMMARY).json
    assert (body["total"], body["online"]) == (3, 0)
    body = engineer.get(SUMMARY).json
    assert (body["by_type"], body["online"]) == ({"Camera": 1}, 1)
    body = signed_in_client(app, "overseer", "manager").get(SUMMARY).json
    assert body["by_type"] == {"Camera": 1, "Lamp": 2, "lamp": 1}
    assert (body["total"], body["online"]) == (4, 1)
    engineer.delete(heartbeat)
    assert engineer.get(SUMMARY).json["online"] == 0


def test_without_redis_the_number_of_online_devices_is_null(make_app, tmp_path):
    app = make_app(REDIS_URL=f"unix://{tmp_path}/missing.sock")
    response = as_account(app, "pythonista").get(SUMMARY)
    assert response.status_code == 200
    assert (response.json["online"], response.json["total"]) == (None, 0)


# The report


def report_names(client, name):
    """Return the file names of the report of a device with this name.

    The first is for clients that know `filename*` (RFC 6266), the second for others.
    """
    response = client.post(DEVICES, json={**THERMOSTAT, "name": name})
    report = client.get(response.json["url"] + "/report")
    header = report.headers["Content-Disposition"]
    assert header.isascii() and header.isprintable()
    kind, options = parse_options_header(header)
    message = EmailMessage()  # takes the first of two names, which is `filename`
    message["Content-Disposition"] = header
    assert kind == message.get_content_disposition() == "attachment"
    assert options.keys() == {"filename"}
    return options["filename"], message.get_filename()


def is_dangerous(character):
    """Return whether a character is dangerous in a file name.

    These are control, format and bidi characters, and those with a meaning to a file
    system or a browser."""
    return unicodedata.category(character)[0] == "C" or character in '/\\:*?"<>|'


def test_a_report_has_every_property_of_a_device(client, device):
    report = client.get(device["url"] + "/report")
    assert report.headers["Content-Type"] == "text/plain; charset=utf-8"
    result = dict(line.split(maxsplit=1) for line in report.text.splitlines())
    assert result == {name: str(value) for name, value in device.items()}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\u2028", "\x85", "\v"])
def test_a_name_cannot_forge_a_line_of_its_report(client, end):
    body = {**THERMOSTAT, "name": f"Oven{end}owner  engineer"}
    created = client.post(DEVICES, json=body).json
    lines = client.get(created["url"] + "/report").text.splitlines()
    assert [line.split()[0] for line in lines] == list(created)


@pytest.mark.parametrize(
    "name, real, plain",
    [
        ("Kitchen Thermostat", "Kitchen Thermostat", None),
        ("it's; really=1, or 'not'", "it's; really=1, or 'not'", None),
        ("Küche", "Küche", "K_che"),
        ("温度计 🌡", "温度计 🌡", "___ _"),
        ("..", "..", None),
        ("console", "console", None),
        ("setup.exe", "setup.exe", None),
        ('a"b', "a_b", None),
        ('x"; filename="y', "x_; filename=_y", None),
        ("../../etc/passwd", ".._.._etc_passwd", None),
        ("..\\..\\win.ini", ".._.._win.ini", None),
        ("C:con", "C_con", None),
        ("a\nb", "a_b", None),
        ("a\r\nSet-Cookie: x=1", "a__Set-Cookie_ x=1", None),
        ("evil\u202etxt.exe", "evil_txt.exe", None),
        ("\u2066x\u2069\u200e\ufeff", "_x___", None),
        ("%" * 64, "_" * 64, None),
        ("%2e%2e%2fx", "_2e_2e_2fx", None),
        ("CON", "_CON", None),
        ("lpt1", "_lpt1", None),
        ("nul.tar", "_nul.tar", None),
        ("🌡" * 64, "🌡" * 62, "_" * 62),
    ],
)
def test_the_file_name_of_a_report_is_the_name_without_what_is_dangerous(
    client, name, real, plain
):
    assert report_names(client, name) == (f"{real}.txt", f"{plain or real}.txt")


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=50,
    deadline=None,
)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=64))
def test_the_file_name_of_a_report_can_always_be_saved(client, name):
    name = name or "x"
    real, plain = report_names(client, name)
    assert not [c for c in real + plain if is_dangerous(c)]
    assert real.endswith(".txt") and plain.endswith(".txt")
    stem = real.removesuffix(".txt")[-len(name) :]  # CON is one character longer
    assert all(kept in (sent, "_") for kept, sent in zip(stem, name))
