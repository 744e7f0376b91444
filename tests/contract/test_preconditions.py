"""Conditional requests (RFC 9110 §13): no needless transfer and no lost update."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from http.client import HTTPConnection
from json import dumps, loads
from threading import Barrier
from urllib.parse import urlsplit

import pytest
from werkzeug.http import http_date, parse_date

from conftest import LAMP, PASSWORDS, basic

ROLES = "/api/v1/roles/"
AUDITOR = {"title": "auditor", "permissions": []}
GADGETS = "/api/v1/sample_gadgets/"
SIGNALS = "/api/v1/sample_signals/"
CHANGES = {
    ROLES: {
        "PUT": {**AUDITOR, "title": "inspector"},
        "PATCH": {"title": "inspector"},
        "DELETE": None,
    },
    GADGETS: {
        "PUT": {**LAMP, "name": "Oven"},
        "PATCH": {"name": "Oven"},
        "DELETE": None,
    },
    SIGNALS: {"PUT": {"battery": 50}, "DELETE": None},
}
WRITES = [(item, verb) for item, verbs in CHANGES.items() for verb in verbs]
EVERY_WRITE = pytest.mark.parametrize("item, verb", WRITES, indirect=["item"])
EVERY_ITEM = pytest.mark.parametrize("item", CHANGES, indirect=True)
BOTH_READS = pytest.mark.parametrize("verb", ["GET", "HEAD"])
WRITERS = 10


class Item:
    """A role, a gadget or its signal, with the requests that read and change it."""

    def __init__(self, client, collection, url):
        self.client, self.collection, self.url = client, collection, url

    def read(self, verb="GET", **headers):
        return self.client.open(self.url, method=verb, headers=header_names(headers))

    def write(self, verb, **headers):
        body = CHANGES[self.collection][verb]
        headers = header_names(headers)
        return self.client.open(self.url, method=verb, json=body, headers=headers)


def header_names(headers):
    return {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.fixture
def item(request, client):
    if request.param == ROLES:
        admin = request.getfixturevalue("admin")
        return Item(admin, ROLES, admin.post(ROLES, json=AUDITOR).json["url"])
    gadget = request.getfixturevalue("gadget")
    if request.param == GADGETS:
        return Item(client, GADGETS, gadget["url"])
    beat = client.put(f"{SIGNALS}{gadget['id']}", json={"battery": 87})
    return Item(client, SIGNALS, beat.json["url"])


@pytest.fixture
def now(item):
    """Return the representation of the item before any change."""
    return item.read()


def earlier(date):
    return http_date(parse_date(date) - timedelta(seconds=1))


def is_unchanged(item, now):
    read = item.read()
    return (read.json, read.headers["ETag"]) == (now.json, now.headers["ETag"])


# ETags


@EVERY_ITEM
def test_an_etag_is_strong_and_stable(item, now):
    assert now.headers["ETag"].startswith('"')
    assert is_unchanged(item, now)


@EVERY_ITEM
def test_the_response_to_a_write_has_the_etag_of_a_read(item, now):
    written = item.write("PUT")
    read = item.read()
    for name in ("ETag", "Last-Modified"):
        assert written.headers[name] == read.headers[name]
    assert read.headers["ETag"] != now.headers["ETag"]


def test_last_modified_is_when_it_was_updated(gadget, client):
    modified = parse_date(client.get(gadget["url"]).headers["Last-Modified"])
    assert modified.strftime("%Y-%m-%dT%H:%M:%SZ") == gadget["updated_at"]


@pytest.mark.parametrize("verb, body", [("PUT", LAMP), ("PATCH", {})])
def test_a_change_that_changes_nothing_keeps_the_etag(client, gadget, verb, body):
    before = client.get(gadget["url"]).headers["ETag"]
    sent = client.open(gadget["url"], method=verb, json=body)
    assert sent.headers["ETag"] == client.get(gadget["url"]).headers["ETag"] == before


def test_a_change_that_is_refused_keeps_the_etag(client, gadget):
    before = client.get(gadget["url"]).headers["ETag"]
    assert client.patch(gadget["url"], json={"name": ""}).status_code == 422
    assert client.get(gadget["url"]).headers["ETag"] == before


def test_a_change_of_one_record_keeps_the_etags_of_others(client, gadget):
    before = client.get(gadget["url"]).headers["ETag"]
    sibling = client.post(GADGETS, json=LAMP).json
    assert client.get(sibling["url"]).headers["ETag"] != before
    client.patch(sibling["url"], json={"name": "Oven"})
    client.delete(sibling["url"])
    assert client.get(gadget["url"]).headers["ETag"] == before


@EVERY_ITEM
def test_a_record_that_is_changed_back_has_a_new_etag(item, now):
    tags = [now.headers["ETag"]]
    body = {name: now.json[name] for name in CHANGES[item.collection]["PUT"]}
    for sent in (CHANGES[item.collection]["PUT"], body):
        tags.append(item.client.put(item.url, json=sent).headers["ETag"])
    assert len(set(tags)) == 3


# If-Match


@EVERY_WRITE
@pytest.mark.parametrize("form", ["{}", "*", '"x", {}', '{}, W/"x"', '"x",{} , "y"'])
def test_a_change_succeeds_if_the_etag_matches(item, now, verb, form):
    written = item.write(verb, If_Match=form.format(now.headers["ETag"]))
    assert written.status_code == (204 if verb == "DELETE" else 200)
    assert item.read().headers.get("ETag") != now.headers["ETag"]


@EVERY_WRITE
@pytest.mark.parametrize(
    "form", ['"x"', '"x", "y"', "W/{}", '"x", W/{}', "nonsense", '"', ",", "", '"*"']
)
def test_a_change_is_refused_if_no_etag_matches(item, now, verb, form):
    refused = item.write(verb, If_Match=form.format(now.headers["ETag"]))
    assert refused.status_code == 412
    assert refused.mimetype == "application/problem+json"
    assert is_unchanged(item, now)


@EVERY_WRITE
def test_a_change_is_refused_after_another_change(item, now, verb):
    tag = now.headers["ETag"]
    assert item.write("PUT", If_Match=tag).status_code == 200
    changed = item.read()
    assert item.write(verb, If_Match=tag).status_code == 412
    assert is_unchanged(item, changed)


@EVERY_ITEM
@BOTH_READS
def test_a_read_respects_if_match(item, now, verb):
    assert item.read(verb, If_Match=now.headers["ETag"]).status_code == 200
    assert item.read(verb, If_Match="*").status_code == 200
    assert item.read(verb, If_Match='"x"').status_code == 412
    assert item.read(verb, If_Match=f"W/{now.headers['ETag']}").status_code == 412


@pytest.mark.parametrize("verb", ["PUT", "PATCH", "DELETE"])
def test_a_missing_record_is_404_with_any_etag(client, verb):
    address, body = f"{GADGETS}1234567", CHANGES[GADGETS][verb]
    for tag in ('"x"', "*"):
        headers = {"If-Match": tag}
        answer = client.open(address, method=verb, json=body, headers=headers)
        assert answer.status_code == 404


@pytest.mark.parametrize("tag", ['"x"', "*", 'W/"x"', "nonsense"])
def test_no_etag_matches_a_signal_that_never_came(client, gadget, tag):
    address = f"{SIGNALS}{gadget['id']}"
    refused = client.put(address, json={}, headers={"If-Match": tag})
    assert refused.status_code == 412
    assert client.get(address).status_code == 404


# If-None-Match


@EVERY_ITEM
@BOTH_READS
@pytest.mark.parametrize("form", ["{}", "W/{}", "*", '"x", {}', '"x",W/{}'])
def test_a_matching_if_none_match_is_304(item, now, verb, form):
    kept = item.read(verb, If_None_Match=form.format(now.headers["ETag"]))
    assert kept.status_code == 304
    assert kept.data == b""
    for name in ("ETag", "Cache-Control", "Vary"):
        assert kept.headers[name] == now.headers[name]
    assert "Content-Type" not in kept.headers
    assert "Content-Length" not in kept.headers


@EVERY_ITEM
@pytest.mark.parametrize("form", ['"x"', 'W/"x"', "nonsense", "", '"', '"*"'])
def test_another_etag_gets_the_record(item, now, form):
    sent = item.read(If_None_Match=form)
    assert (sent.status_code, sent.json) == (200, now.json)


@EVERY_ITEM
def test_an_outdated_etag_gets_the_record(item, now):
    item.write("PUT")
    assert item.read(If_None_Match=now.headers["ETag"]).status_code == 200


@EVERY_WRITE
@pytest.mark.parametrize("form", ["*", "{}", "W/{}"])
def test_a_change_with_if_none_match_star_is_refused(item, now, verb, form):
    refused = item.write(verb, If_None_Match=form.format(now.headers["ETag"]))
    assert refused.status_code == 412
    assert is_unchanged(item, now)


def test_a_first_signal_with_if_none_match_star_succeeds_once(client, gadget):
    address, headers = f"{SIGNALS}{gadget['id']}", {"If-None-Match": "*"}
    assert client.put(address, json={}, headers=headers).status_code == 201
    assert client.put(address, json={}, headers=headers).status_code == 412


# Dates


@EVERY_ITEM
@BOTH_READS
def test_a_record_not_modified_since_is_304(item, now, verb):
    modified = now.headers["Last-Modified"]
    kept = item.read(verb, If_Modified_Since=modified)
    assert (kept.status_code, kept.data) == (304, b"")
    assert kept.headers["ETag"] == now.headers["ETag"]
    assert item.read(verb, If_Modified_Since=earlier(modified)).status_code == 200


@EVERY_WRITE
def test_a_change_is_refused_if_the_record_was_modified_since(item, now, verb):
    modified = now.headers["Last-Modified"]
    refused = item.write(verb, If_Unmodified_Since=earlier(modified))
    assert refused.status_code == 412
    assert is_unchanged(item, now)
    assert item.write(verb, If_Unmodified_Since=modified).status_code in (200, 204)


@EVERY_ITEM
@BOTH_READS
def test_a_read_respects_if_unmodified_since(item, now, verb):
    modified = now.headers["Last-Modified"]
    assert item.read(verb, If_Unmodified_Since=modified).status_code == 200
    assert item.read(verb, If_Unmodified_Since=earlier(modified)).status_code == 412


@EVERY_ITEM
@pytest.mark.parametrize("date", ["yesterday", "", "2020-01-01T00:00:00Z", "0"])
def test_an_invalid_date_is_ignored(item, date):
    assert item.read(If_Modified_Since=date).status_code == 200
    assert item.write("PUT", If_Unmodified_Since=date).status_code == 200


@EVERY_WRITE
def test_a_change_ignores_if_modified_since(item, now, verb):
    written = item.write(verb, If_Modified_Since=now.headers["Last-Modified"])
    assert written.status_code in (200, 204)


@EVERY_ITEM
def test_etags_take_precedence_over_dates(item, now):
    tag, modified = now.headers["ETag"], now.headers["Last-Modified"]
    assert item.read(If_None_Match='"x"', If_Modified_Since=modified).status_code == 200
    assert item.read(If_None_Match=tag, If_Modified_Since=earlier(modified)).data == b""
    written = item.write("PUT", If_Match=tag, If_Unmodified_Since=earlier(modified))
    assert written.status_code == 200


@EVERY_ITEM
def test_if_match_is_evaluated_before_if_none_match(item, now):
    tag = now.headers["ETag"]
    assert item.read(If_Match='"x"', If_None_Match=tag).status_code == 412
    assert item.read(If_Match=tag, If_None_Match=tag).status_code == 304


# REQUIRE_IF_MATCH


@EVERY_WRITE
def test_a_change_without_a_required_if_match_is_428(app, item, now, verb):
    app.config["REQUIRE_IF_MATCH"] = True
    dated = {"If_Unmodified_Since": now.headers["Last-Modified"]}
    for headers in ({}, dated, {"If_None_Match": '"x"'}):
        refused = item.write(verb, **headers)
        assert refused.status_code == 428
        assert refused.mimetype == "application/problem+json"
    assert is_unchanged(item, now)
    assert item.write(verb, If_Match='"x"').status_code == 412
    written = item.write(verb, If_Match=now.headers["ETag"])
    assert written.status_code in (200, 204)


def test_reading_and_creating_need_no_if_match(app, client):
    app.config["REQUIRE_IF_MATCH"] = True
    response = client.post(GADGETS, json=LAMP)
    assert response.status_code == 201
    assert client.get(response.json["url"]).status_code == 200
    beat = f"{SIGNALS}{response.json['id']}"
    headers = {"If-None-Match": "*"}
    assert client.put(beat, json={}, headers=headers).status_code == 201


# Collections


@EVERY_ITEM
@BOTH_READS
def test_an_unchanged_page_is_304(item, verb):
    sent = item.client.open(item.collection, method=verb)
    headers = {"If-None-Match": sent.headers["ETag"]}
    kept = item.client.open(item.collection, method=verb, headers=headers)
    assert (kept.status_code, kept.data) == (304, b"")
    for name in ("ETag", "Link", "Cache-Control", "Vary"):
        assert kept.headers[name] == sent.headers[name]
    assert "Content-Type" not in kept.headers


@EVERY_WRITE
def test_a_page_has_a_new_etag_when_an_item_changes(item, verb):
    before = item.client.get(item.collection)
    item.write(verb)
    headers = {"If-None-Match": before.headers["ETag"]}
    after = item.client.get(item.collection, headers=headers)
    assert after.status_code == 200
    assert after.headers["ETag"] != before.headers["ETag"]


def test_a_page_has_a_new_etag_when_an_item_comes(client):
    before = client.get(GADGETS).headers["ETag"]
    client.post(GADGETS, json=LAMP)
    assert client.get(GADGETS).headers["ETag"] != before


@EVERY_ITEM
def test_reading_a_page_respects_if_match(item):
    headers = {"If-Match": '"x"'}
    assert item.client.get(item.collection, headers=headers).status_code == 412


# Many at once


def send(server, verb, path, body=None, **headers):
    """Ask a service that really listens: the status, the body and the ETag."""
    headers = {
        "Authorization": basic("pythonista", PASSWORDS["pythonista"]),
        "Content-Type": "application/json",
        **header_names(headers),
    }
    with closing(HTTPConnection(urlsplit(server).netloc, timeout=30)) as connection:
        connection.request(verb, path, dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, loads(answer.read() or "null"), answer.headers["ETag"]


def all_at_once(server, verb, path, bodies, **headers):
    """Return the responses to many writers that send at the same moment."""
    barrier = Barrier(len(bodies))

    def write(body):
        barrier.wait()
        return send(server, verb, path, body, **headers)

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(write, bodies))


@pytest.mark.parametrize(
    "collection, body_of",
    [
        (GADGETS, lambda n, turn: {**LAMP, "name": f"Writer {n}.{turn}"}),
        (SIGNALS, lambda n, turn: {"battery": 10 * turn + n}),
        (SIGNALS, lambda n, turn: {}),  # each signal is a change, though all are equal
    ],
)
def test_of_many_writers_with_the_same_etag_one_succeeds(
    live_server, collection, body_of
):
    _, gadget, _ = send(live_server, "POST", GADGETS, LAMP)
    path = f"{collection}{gadget['id']}"
    send(live_server, "PUT", path, body_of(0, 0))
    for turn in (1, 2):
        _, _, tag = send(live_server, "GET", path)
        bodies = [body_of(n, turn) for n in range(WRITERS)]
        answers = all_at_once(live_server, "PUT", path, bodies, If_Match=tag)
        statuses = sorted(status for status, *_ in answers)
        assert statuses == [200] + [412] * (WRITERS - 1)
        (winner,) = (body for status, body, _ in answers if status == 200)
        assert send(live_server, "GET", path)[1] == winner


def test_of_many_first_signals_exactly_one_creates(live_server):
    _, gadget, _ = send(live_server, "POST", GADGETS, LAMP)
    path = f"{SIGNALS}{gadget['id']}"
    send(live_server, "DELETE", path)  # tests share Redis, and maybe this id
    bodies = [{"battery": n} for n in range(WRITERS)]
    answers = all_at_once(live_server, "PUT", path, bodies, If_None_Match="*")
    statuses = sorted(status for status, *_ in answers)
    assert statuses == [201] + [412] * (WRITERS - 1)
