import unicodedata
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from json import dumps

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.http import parse_options_header

from conftest import THERMOSTAT, as_account, record_statements, signed_in_client

from ..core.data.session import sql, unit_of_work
from .models import Device

DEVICES = "/api/v1/devices/"
SUMMARY = f"{DEVICES}summary"
JSON = "application/json"
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


def list_devices(client, **query):
    return client.get(DEVICES, query_string=query).json["items"]


def problem(response, status):
    """Return the problem of a response, without the parts that differ for each request."""
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    assert response.json["status"] == status
    assert response.json["request_id"] == response.headers["X-Request-ID"]
    return {k: v for k, v in response.json.items() if k != "request_id"}


def pointers(response, status=422):
    return sorted(error["pointer"] for error in problem(response, status)["errors"])


@pytest.fixture
def old_device(app, client, device):
    """Return a device that was created and last modified long ago."""
    moment = datetime.fromisoformat(LONG_AGO).replace(tzinfo=None)
    with app.app_context(), unit_of_work():
        sql.session.execute(
            sql.update(Device)
            .where(Device.id == device["id"])
            .values(created_at=moment, updated_at=moment)
        )
    return client.get(device["url"]).json


# Register, read, delete


def test_a_device_is_registered(client):
    response = client.post(DEVICES, json=THERMOSTAT)
    assert response.status_code == 201
    assert response.headers["Location"] == response.json["url"]
    assert response.json["url"] == f"http://localhost{DEVICES}{response.json['id']}"
    assert response.json.items() >= THERMOSTAT.items()
    assert response.json["owner"] == "pythonista"
    assert response.json["created_at"] <= response.json["updated_at"]
    age = datetime.now(UTC) - datetime.fromisoformat(response.json["created_at"])
    assert timedelta(0) <= age < timedelta(seconds=10)


def test_a_registered_device_can_be_read(client):
    response = client.post(DEVICES, json=THERMOSTAT)
    read = client.get(response.headers["Location"])
    assert read.status_code == 200
    assert read.json == response.json
    assert read.headers["ETag"] == response.headers["ETag"]


def test_the_collection_lists_the_newest_device_last(client):
    results = [client.post(DEVICES, json=body).json for body in (THERMOSTAT, CAMERA)]
    assert list_devices(client) == results


def test_a_deleted_device_is_gone(client, device):
    forgotten = client.delete(device["url"])
    assert forgotten.status_code == 204
    assert forgotten.data == b""
    assert "Content-Type" not in forgotten.headers
    assert list_devices(client) == []
    problem(client.get(device["url"]), 404)
    problem(client.delete(device["url"]), 404)


def test_the_id_of_a_deleted_device_is_never_used_again(client, device):
    client.delete(device["url"])
    assert client.post(DEVICES, json=THERMOSTAT).json["id"] > device["id"]


@pytest.mark.parametrize("id", ["0", "-1", "1.5", "x", "9" * 19, "9" * 30, "%00"])
def test_an_impossible_id_is_404(client, id):
    problem(client.get(DEVICES + id), 404)


def test_the_collection_has_a_url_without_and_one_with_a_slash(client, device):
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
def test_options_lists_the_verbs(stranger, address):
    response = stranger.options(address)
    assert response.status_code == 200
    assert set(response.allow) == VERBS[address]


@pytest.mark.parametrize(
    "verb, address",
    [
        (verb, address)
        for address, verbs in VERBS.items()
        for verb in ("POST", "PUT", "PATCH", "DELETE", "BREW")
        if verb not in verbs
    ],
)
def test_a_wrong_verb_is_405_with_the_allowed_ones(client, verb, address):
    refused = client.open(address, method=verb, json=THERMOSTAT)
    problem(refused, 405)
    assert set(refused.allow) == VERBS[address]


# Ownership

EVERY_WAY = [
    ("GET", ""),
    ("HEAD", ""),
    ("PUT", ""),
    ("PATCH", ""),
    ("DELETE", ""),
    ("GET", "/report"),
]


@pytest.mark.parametrize("verb, path", EVERY_WAY)
def test_a_device_of_another_account_is_not_found(client, engineer, device, verb, path):
    theirs, nobodys = (
        engineer.open(address + path, method=verb, json=CAMERA)
        for address in (device["url"], f"{DEVICES}{2**62}")
    )
    assert theirs.status_code == nobodys.status_code == 404
    if verb != "HEAD":
        assert problem(theirs, 404) == problem(nobodys, 404)
    assert client.get(device["url"]).json == device


@pytest.mark.parametrize("query", [{}, {"owner": "pythonista"}, {"q": "Kitchen"}])
def test_the_list_holds_no_devices_of_other_accounts(client, engineer, device, query):
    assert list_devices(client, **query) == [device]
    theirs = engineer.get(DEVICES, query_string=query).json
    assert theirs["items"] == []
    assert theirs["meta"]["total"] == 0


@pytest.mark.parametrize(
    "verb, path", [("GET", DEVICES), ("POST", DEVICES), *EVERY_WAY]
)
def test_without_credentials_every_request_is_401(client, stranger, device, verb, path):
    address = path if path == DEVICES else device["url"] + path
    refused = stranger.open(address, method=verb, json=CAMERA)
    assert refused.status_code == 401
    assert "WWW-Authenticate" in refused.headers
    assert list_devices(client) == [device]


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
def test_an_invalid_body_is_answered_with_every_error(
    client, device, verb, change, faults
):
    address = DEVICES if verb == "POST" else device["url"]
    body = change if verb == "PATCH" else {**THERMOSTAT, **change}
    assert pointers(client.open(address, method=verb, json=body)) == faults
    assert list_devices(client) == [device]


@pytest.mark.parametrize("verb", ["POST", "PUT"])
def test_every_property_is_required(client, device, verb):
    address = DEVICES if verb == "POST" else device["url"]
    refused = client.open(address, method=verb, json={})
    assert pointers(refused) == [f"/{name}" for name in WRITTEN]


@pytest.mark.parametrize("body", ["[]", '"text"', "7", "true", "null", "[{}]"])
@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH"])
def test_a_body_that_is_not_an_object_is_invalid(client, device, verb, body):
    address = DEVICES if verb == "POST" else device["url"]
    refused = client.open(address, method=verb, data=body, content_type=JSON)
    assert pointers(refused) == [""]


@pytest.mark.parametrize("body", ["", "{", "{'name': 1}", b"\xff", "[" * 5000, "NaN"])
@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH"])
def test_a_body_that_is_not_json_is_malformed(client, device, verb, body):
    address = DEVICES if verb == "POST" else device["url"]
    problem(client.open(address, method=verb, data=body, content_type=JSON), 400)


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH"])
def test_a_deeply_nested_body_is_refused(client, device, verb):
    address = DEVICES if verb == "POST" else device["url"]
    body = '{"name":' + '{"a":' * 1000 + "1" + "}" * 1001
    refused = client.open(address, method=verb, data=body, content_type=JSON)
    assert refused.status_code in (400, 422)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/merge-patch+json"},
        {"Content-Type": JSON, "Content-Encoding": "gzip"},
    ],
)
@pytest.mark.parametrize("verb", ["POST", "PUT"])
def test_a_body_of_another_media_type_is_refused(client, device, verb, headers):
    address = DEVICES if verb == "POST" else device["url"]
    refused = client.open(address, method=verb, data=dumps(CAMERA), headers=headers)
    problem(refused, 415)
    assert refused.headers["Accept"] == JSON


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH"])
def test_a_body_that_is_too_large_is_refused(app, client, device, verb):
    app.config["MAX_CONTENT_LENGTH"] = len(dumps(CAMERA)) - 1
    address = DEVICES if verb == "POST" else device["url"]
    problem(client.open(address, method=verb, json=CAMERA), 413)


@pytest.mark.parametrize("text", ["x", "x" * 64, "🌡" * 64, " ", "a\nb", "<b>", "ü"])
def test_a_text_of_1_to_64_characters_is_stored_unchanged(client, text):
    sent = dict.fromkeys(THERMOSTAT, text)
    response = client.post(DEVICES, json=sent)
    assert response.status_code == 201
    assert client.get(response.json["url"]).json.items() >= sent.items()


# Changes


def test_put_replaces_a_device(client, old_device):
    put = client.put(old_device["url"], json=CAMERA)
    assert put.status_code == 200
    assert put.json.items() >= CAMERA.items()
    assert client.get(old_device["url"]).json == put.json
    for name in ("id", "url", "owner", "created_at"):
        assert put.json[name] == old_device[name]
    assert put.json["updated_at"] > old_device["updated_at"] == LONG_AGO


@pytest.mark.parametrize("verb, body", [("PUT", THERMOSTAT), ("PATCH", {})])
def test_a_change_without_a_difference_keeps_the_times(client, old_device, verb, body):
    sent = client.open(old_device["url"], method=verb, json=body)
    assert sent.status_code == 200
    assert sent.json == client.get(old_device["url"]).json == old_device


@pytest.mark.parametrize("media_type", ["application/merge-patch+json", JSON])
def test_a_patch_changes_only_the_properties_in_it(client, old_device, media_type):
    body = dumps({"location": "Attic", "name": "Dachboden"})
    patched = client.patch(old_device["url"], data=body, content_type=media_type)
    assert patched.status_code == 200
    expected = {**old_device, "location": "Attic", "name": "Dachboden"}
    assert patched.json == {**expected, "updated_at": patched.json["updated_at"]}
    assert patched.json["updated_at"] > LONG_AGO
    assert client.get(old_device["url"]).json == patched.json


@pytest.mark.parametrize("media_type", ["application/json-patch+json", "text/plain"])
def test_a_patch_of_another_media_type_is_415_with_the_accepted_ones(
    client, device, media_type
):
    body = dumps([{"op": "remove", "path": "/name"}])
    refused = client.patch(device["url"], data=body, content_type=media_type)
    problem(refused, 415)
    taken = refused.headers["Accept-Patch"].split(", ")
    assert taken == ["application/merge-patch+json", JSON]


@pytest.mark.parametrize("name", WRITTEN)
def test_a_patch_cannot_remove_a_required_property(client, device, name):
    assert pointers(client.patch(device["url"], json={name: None})) == [f"/{name}"]
    assert client.get(device["url"]).json == device


@pytest.mark.parametrize("value", ["red", None, {}])
def test_a_patch_with_an_unknown_property_is_refused(client, device, value):
    patch = {"colour": value, "name": "Red"}
    assert pointers(client.patch(device["url"], json=patch)) == ["/colour"]
    assert client.get(device["url"]).json == device


# Filters and search


@pytest.fixture
def pair(app, client, old_device):
    """Register two devices that differ in every property, and return them."""
    return old_device, client.post(DEVICES, json=CAMERA).json


@pytest.mark.parametrize("field", [*WRITTEN, "id", "created_at", "updated_at"])
def test_a_filter_matches_exactly(client, pair, field):
    for device in pair:
        assert list_devices(client, **{field: device[field]}) == [device]


def test_the_owner_is_a_filter(client, pair):
    assert list_devices(client, owner="pythonista") == list(pair)
    assert list_devices(client, owner="engineer") == []


@pytest.mark.parametrize("name", ["kitchen thermostat", "Kitchen", "Kitchen%", ""])
def test_a_filter_does_not_match_similar_values(client, device, name):
    assert list_devices(client, name=device["name"]) == [device]
    assert list_devices(client, name=name) == []


def test_filters_are_combined_with_and(client, pair):
    thermostat, camera = pair
    query = {"type": "Camera", "location": "Front Door"}
    assert list_devices(client, **query) == [camera]
    assert list_devices(client, **query, name=thermostat["name"]) == []


def test_a_time_filter_accepts_any_time_zone(client, pair):
    assert list_devices(client, created_at="2020-02-29T13:00:00+01:00") == [pair[0]]


@pytest.mark.parametrize("query", ["view=items", "q=", ""])
def test_an_empty_query_finds_everything(client, pair, query):
    assert client.get(f"{DEVICES}?{query}").json["items"] == list(pair)


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
        ("100%", "100 percent", "0%"),
        ("snake_case", "snakeXcase", "E_C"),
        ("back\\slash", "backslash", "K\\S"),
        ("back\\_slash", "back\\xslash", "\\_"),
        ("a/b", "ab", "A/B"),
        ("it's", "its", "T'S"),
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


def test_a_search_finds_a_changed_device(client, device):
    client.patch(device["url"], json={"name": "Oven"})
    assert list_devices(client, name="Oven", q="oven")
    assert list_devices(client, name="Oven", q="kitchen thermostat") == []


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


def test_a_summary_counts_by_type_and_location(client, three_devices):
    assert client.get(SUMMARY).json == {
        "total": 3,
        "by_type": {"Lamp": 2, "lamp": 1},
        "by_location": {"Attic": 1, "Hall": 2},
        "online": 0,
    }


def test_a_summary_without_devices_is_zero(client):
    empty = {"total": 0, "by_type": {}, "by_location": {}, "online": 0}
    assert client.get(SUMMARY).json == empty


def test_a_summary_counts_online_devices(client, three_devices, device):
    address = device["url"].replace("/devices/", "/presence/")
    client.put(address, json={})
    assert client.get(SUMMARY).json["online"] == 1
    client.delete(address)
    assert client.get(SUMMARY).json["online"] == 0


def test_a_summary_counts_the_devices_that_the_caller_can_read(
    app, client, engineer, three_devices
):
    created = engineer.post(DEVICES, json=CAMERA).json
    engineer.put(created["url"].replace("/devices/", "/presence/"), json={})
    body = client.get(SUMMARY).json
    assert (body["total"], body["online"]) == (3, 0)
    body = engineer.get(SUMMARY).json
    assert (body["by_type"], body["online"]) == ({"Camera": 1}, 1)
    body = signed_in_client(app, "overseer", "manager").get(SUMMARY).json
    assert body["by_type"] == {"Camera": 1, "Lamp": 2, "lamp": 1}
    assert (body["total"], body["online"]) == (4, 1)


def test_without_redis_the_number_of_online_devices_is_null(make_app, tmp_path):
    app = make_app(REDIS_URL=f"unix://{tmp_path}/missing.sock")
    response = as_account(app, "pythonista").get(SUMMARY)
    assert response.status_code == 200
    assert response.json["online"] is None
    assert response.json["total"] == 0


def test_a_known_summary_is_304(client, three_devices):
    headers = {"If-None-Match": client.get(SUMMARY).headers["ETag"]}
    assert client.get(SUMMARY, headers=headers).status_code == 304
    client.post(DEVICES, json=CAMERA)
    assert client.get(SUMMARY, headers=headers).status_code == 200


def test_a_summary_takes_a_query_for_each_count(app, client, three_devices):
    with record_statements(app) as seen:
        client.get(SUMMARY)
    texts = [text for text, _ in seen if "devices" in text]
    assert [text.rpartition(" ")[2] for text in texts] == [
        "devices.type",
        "devices.location",
    ]


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
    assert report.status_code == 200
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
    "name, plain",
    [
        ("Kitchen Thermostat", "Kitchen Thermostat.txt"),
        ("it's; really=1, or 'not'", "it's; really=1, or 'not'.txt"),
        ("Küche", "K_che.txt"),
        ("温度计 🌡", "___ _.txt"),
        ("..", "...txt"),
        ("console", "console.txt"),
        ("setup.exe", "setup.exe.txt"),
    ],
)
def test_a_harmless_device_name_is_the_file_name_of_its_report(client, name, plain):
    assert report_names(client, name) == (f"{name}.txt", plain)


@pytest.mark.parametrize(
    "name, safe",
    [
        ('a"b', "a_b.txt"),
        ('x"; filename="y', "x_; filename=_y.txt"),
        ("../../etc/passwd", ".._.._etc_passwd.txt"),
        ("..\\..\\win.ini", ".._.._win.ini.txt"),
        ("C:con", "C_con.txt"),
        ("a\nb", "a_b.txt"),
        ("a\r\nSet-Cookie: x=1", "a__Set-Cookie_ x=1.txt"),
        ("evil\u202etxt.exe", "evil_txt.exe.txt"),
        ("\u2066x\u2069\u200e\ufeff", "_x___.txt"),
        ("%" * 64, "_" * 64 + ".txt"),
        ("%2e%2e%2fx", "_2e_2e_2fx.txt"),
        ("CON", "_CON.txt"),
        ("lpt1", "_lpt1.txt"),
        ("nul.tar", "_nul.tar.txt"),
    ],
)
def test_dangerous_characters_are_removed_from_the_file_name(client, name, safe):
    assert report_names(client, name) == (safe, safe)


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


def test_the_file_name_of_a_report_is_not_too_long(client):
    real, plain = report_names(client, "🌡" * 64)
    assert real == "🌡" * 62 + ".txt"
    assert plain == "_" * 62 + ".txt"
