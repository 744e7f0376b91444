"""Downloads of whole collections, in constant memory and from one snapshot."""

import csv
import io
import socket
import time
import tracemalloc
from contextvars import Context
from http.client import HTTPConnection, IncompleteRead
from itertools import product
from urllib.parse import urlsplit

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conftest import LAMP, as_account, basic, record_statements, signed_in_client
from myapp.core.data.models.page_queries import STREAM_BATCH_ROWS
from myapp.core.data.models.pages import Page
from myapp.core.data.session import sql, unit_of_work
from myapp.core.http.exports import (
    encode_cell,
    encode_csv,
    encode_ndjson,
    unescape_formula,
)
from myapp.core.schema.fields import NO_NUL_PATTERN
from myapp.users.models import User
from support.assertions import assert_problem
from support.features.sample_gadgets.models import SampleGadget

GADGETS = "/api/v1/sample_gadgets/"
EXPORT = f"{GADGETS}export"
FORMS = ["csv", "ndjson"]
MINE = {"Authorization": basic("pythonista", "I<3testing")}

EVERYTHING = Page(1, 0, (("id", False),), {}, "", "none", None)

# The characters that the schema of a text allows.
assert NO_NUL_PATTERN == "^[^\\u0000]*$"
anything = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def parse_records(text, form):
    """Return the records of an export, as an import would read them."""
    if form == "ndjson":
        return [orjson.loads(line) for line in text.splitlines()]
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    return [
        {name: unescape_formula(text) for name, text in row.items()} for row in rows
    ]


def export_records(client, form="csv", **query):
    """Return the records of an export."""
    response = client.get(EXPORT, query_string={"format": form, **query})
    assert response.status_code == 200
    return parse_records(response.text, form)


def register(app, number, username="pythonista", **values):
    """Commit `number` gadgets of an account, named 0000 and so on."""
    with app.app_context(), unit_of_work():
        bodies = ({**LAMP, "name": f"{n:04}", **values} for n in range(number))
        SampleGadget.create_many(bodies, owner_id=User.find(username).id)


def elsewhere(function, *args, **kwargs):
    """Call a function in a new context, as another request would."""
    return Context().run(function, *args, **kwargs)


# Content


def test_csv_follows_rfc_4180(client, gadget):
    body = {**LAMP, "name": 'a "b", c', "location": "two\nlines"}
    created = client.post(GADGETS, json=body).json
    items = [{name: str(item[name]) for name in item} for item in (gadget, created)]
    assert export_records(client) == items
    response = client.get(EXPORT)
    assert response.content_type == "text/csv; charset=utf-8; header=present"
    head, rest = response.text.split("\r\n", 1)
    assert head.split(",") == list(created)
    assert '"a ""b"", c","two\nlines"' in rest and rest.endswith("\r\n")


def test_ndjson_has_a_line_for_each_record(client, gadget):
    other = client.post(GADGETS, json={**LAMP, "name": "Oven"}).json
    response = client.get(EXPORT, query_string={"format": "ndjson"})
    assert response.content_type == "application/x-ndjson"
    lines = [client.get(item["url"]).data + b"\n" for item in (gadget, other)]
    assert response.data == b"".join(lines)


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_download_has_a_name_and_is_not_cached(client, form):
    response = client.get(EXPORT, query_string={"format": form})
    named = f'attachment; filename="sample_gadgets.{form}"'
    assert response.headers["Content-Disposition"] == named
    assert response.headers["Cache-Control"] == "no-store"
    assert "Content-Length" not in response.headers
    assert response.text.split(",")[:2] == (["url", "id"] if form == "csv" else [""])
    assert export_records(client, form) == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("beyond", [-1, 0, 1, STREAM_BATCH_ROWS])
def test_exports_of_any_size_are_complete_and_in_order(app, client, form, beyond):
    number = STREAM_BATCH_ROWS + beyond
    register(app, number)
    names = [row["name"] for row in export_records(client, form, sort="-name")]
    assert names == [f"{n:04}" for n in reversed(range(number))]


def test_an_export_is_filtered_searched_and_sorted_like_the_list(app, client):
    register(app, 3, type="Lamp")
    register(app, 3, type="Lamp", location="Attic")
    register(app, 3)
    register(app, 1, "engineer")
    manager = signed_in_client(app, "overseer", "manager")
    queries = [{"type": "Lamp", "location": "Kitchen"}, {"q": "ATTIC", "sort": "-name"}]
    queries += [{"owner": "pythonista", "sort": "type,-name"}, {"owner": "engineer"}]
    queries += [{"created_at": "2020-02-29T12:00:00Z"}]
    for query, reader in product(queries, (client, manager)):
        listed = reader.get(GADGETS, query_string=query).json["items"]
        assert export_records(reader, "ndjson", **query) == listed


# Invalid queries


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "query", ["format=", "format=csv&format=csv", "sort=x", "q=%00"]
)
def test_an_invalid_query_is_refused(client, method, query):
    assert_problem(client.open(f"{EXPORT}?{query}", method=method), 400)


def test_all_errors_of_a_query_are_reported_at_once(client):
    query = "format=xml&sort=x&id=x&created_at=x&q=%00&type=%00"
    problem = assert_problem(client.get(f"{EXPORT}?{query}"), 400)
    pointers = {error["pointer"] for error in problem["errors"]}
    assert pointers == {"/format", "/sort", "/id", "/created_at", "/q", "/type"}


def test_the_parameters_of_pages_are_unknown_and_those_of_an_export_documented(client):
    query = {"page": 1, "per_page": 1, "cursor": "x", "view": "items", "total": "none"}
    problem = assert_problem(client.get(EXPORT, query_string=query), 400)
    assert {fault["pointer"] for fault in problem["errors"]} == {f"/{n}" for n in query}
    paths = client.get("/openapi.json").json["paths"]
    names = {known["name"] for known in paths[EXPORT]["get"]["parameters"]}
    assert {"format", "sort", "q", "type", "owner"} <= names
    assert not names & query.keys()


# Cells


@pytest.mark.parametrize("begin", [*"=+-@\t\r\n", *"＝＋－＠"])
def test_a_cell_that_a_spreadsheet_would_run_is_escaped(client, begin):
    body = {**LAMP, "name": f"{begin}1+1"}
    created = client.post(GADGETS, json=body).json
    assert f"'{begin}1+1" in client.get(EXPORT).text
    (row,) = export_records(client)
    assert row["name"] == created["name"]


@given(anything)
@example("'")
@example("'=1")
def test_any_text_can_be_restored_from_its_cell(text):
    line = io.StringIO(newline="")
    csv.writer(line).writerow(["before", encode_cell(text), "after"])
    ((_, restored, _),) = csv.reader(io.StringIO(line.getvalue(), newline=""))
    assert unescape_formula(restored) == text
    assert restored[:1] not in set("=+-@\t\r\n")


def test_other_values_are_written_as_in_json_and_other_cells_read_unchanged():
    values = {"": None, "true": True, "-5": -5, "0.5": 0.5}
    assert [encode_cell(value) for value in values.values()] == list(values)
    for text in ("", "'tis", "'", "a=b"):  # was not escaped
        assert unescape_formula(text) == text


# Snapshots and connections


@pytest.fixture
def committed_app(make_app):
    """Yield an application with four committed batches of pythonista's gadgets."""
    pool = {"pool_size": 1, "max_overflow": 1, "pool_timeout": 0.1}
    app = make_app(SQLALCHEMY_ENGINE_OPTIONS=pool)
    register(app, 3 * STREAM_BATCH_ROWS + 10)
    yield app
    with app.app_context(), unit_of_work():
        sql.session.execute(sql.delete(SampleGadget))


def connections(app):
    """Return the number of connections in use."""
    with app.app_context():
        return sql.engine.pool.checkedout()


@pytest.mark.parametrize("form", FORMS)
def test_an_export_is_a_snapshot(committed_app, form):
    client = as_account(committed_app, "pythonista")
    before = elsewhere(export_records, client, form)
    first, last = before[0], before[-1]
    pieces = client.get(EXPORT, query_string={"format": form}).iter_encoded()
    read = next(pieces)
    changes = [
        ("patch", last["url"], {"json": {"name": "changed"}}),
        ("delete", before[-2]["url"], {}),
        ("delete", first["url"], {}),
        ("post", GADGETS, {"json": LAMP}),
    ]
    for verb, url, body in changes:
        response = elsewhere(getattr(client, verb), url, **body)
        assert response.status_code < 300
    read += b"".join(pieces)
    assert parse_records(read.decode(), form) == before
    after = elsewhere(export_records, client, form)
    assert len(after) == len(before) - 1
    assert [row["name"] for row in after[-2:]] == ["changed", LAMP["name"]]


def test_a_download_releases_its_connection_early(committed_app, monkeypatch):
    serialized = count_shown(monkeypatch)
    client = as_account(committed_app, "pythonista")
    for is_read in (True, True, True, False):  # more requests than connections
        response = client.get(EXPORT)
        if is_read:
            next(response.iter_encoded())
        response.close()
        assert connections(committed_app) == 0
    assert len(serialized) == 4 * STREAM_BATCH_ROWS
    in_use = [connections(committed_app) for _ in client.get(EXPORT).iter_encoded()]
    assert in_use == [1, 1, 1, 0]
    assert len(elsewhere(export_records, client)) == 3 * STREAM_BATCH_ROWS + 10


def count_shown(monkeypatch):
    """Return a list that gets the id of each record when it is serialized."""
    serialized = []
    as_json = SampleGadget.as_json

    def spy(record):
        serialized.append(record.id)
        return as_json(record)

    monkeypatch.setattr(SampleGadget, "as_json", spy)
    return serialized


def test_without_a_connection_an_export_is_503_and_not_a_broken_file(committed_app):
    client = as_account(committed_app, "pythonista")
    assert client.get(GADGETS).status_code == 200  # now the account is cached
    with committed_app.app_context():
        held = [sql.engine.connect() for _ in range(2)]
        response = elsewhere(client.get, EXPORT)
        for connection in held:
            connection.close()
    problem = assert_problem(response, 503)
    assert response.headers["Retry-After"]
    assert "Content-Disposition" not in response.headers, problem


def test_head_reads_no_records(app, client, gadget):
    client.get(GADGETS)  # now the account is cached
    with record_statements(app) as seen:
        assert client.head(EXPORT).status_code == 200
        assert not [text for text, _ in seen if "gadgets" in text]
        client.get(EXPORT)
        assert len([text for text, _ in seen if "gadgets" in text]) == 1


@pytest.mark.parametrize("encoder", [encode_csv, encode_ndjson])
def test_ten_times_the_rows_take_the_same_memory(app, encoder):
    register(app, 2 * STREAM_BATCH_ROWS, location="Attic")
    register(app, 18 * STREAM_BATCH_ROWS)
    attic = {"location": "Attic"}

    def peak(scope, expected):
        with app.test_request_context(EXPORT), unit_of_work(writes=False):
            batches = SampleGadget.stream(EVERYTHING, **scope)
            tracemalloc.start()
            lines = sum(piece.count(b"\n") for piece in encoder(SampleGadget, batches))
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert lines >= expected
        return most

    peak(attic, 2 * STREAM_BATCH_ROWS)  # fills the caches
    assert peak({}, 20 * STREAM_BATCH_ROWS) < 1.5 * peak(attic, 2 * STREAM_BATCH_ROWS)


# Over a socket


def ask(address, form):
    """Request an export over a connection with a small receive buffer; return it."""
    url = urlsplit(address)
    connection = HTTPConnection(url.hostname, url.port, timeout=10)
    connection.sock = socket.socket()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sock.settimeout(10)
    connection.sock.connect((url.hostname, url.port))
    connection.request("GET", f"{EXPORT}?format={form}", headers=MINE)
    return connection


def until(condition):
    """Wait until the condition is true, for at most ten seconds; return its value."""
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_an_export_ends_when_the_client_disconnects(live_app, live_server, monkeypatch):
    wide = dict.fromkeys(LAMP, "🌡" * 64)
    register(live_app, 6000, **wide)  # more than the socket buffers hold
    serialized = count_shown(monkeypatch)
    connection = ask(live_server, "ndjson")
    response = connection.getresponse()
    assert response.status == 200 and response.read(100)
    assert connections(live_app) == 1
    response.close()
    connection.close()
    assert until(lambda: connections(live_app) == 0)
    assert STREAM_BATCH_ROWS <= len(serialized) < 6000


@pytest.mark.parametrize("form", FORMS)
def test_a_broken_export_is_incomplete(live_app, live_server, monkeypatch, form):
    register(live_app, 3 * STREAM_BATCH_ROWS)
    as_json = SampleGadget.as_json

    def breaks(record):
        assert record.id <= 2 * STREAM_BATCH_ROWS, "out of order"
        return as_json(record)

    monkeypatch.setattr(SampleGadget, "as_json", breaks)
    response = ask(live_server, form).getresponse()
    assert response.status == 200
    with pytest.raises(IncompleteRead) as caught:
        response.read()
    with pytest.raises((csv.Error, orjson.JSONDecodeError)):
        parse_records(caught.value.partial.decode(), form)
    assert until(lambda: connections(live_app) == 0)
