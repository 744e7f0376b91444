"""Imports over HTTP: their files, errors, order and end."""

import csv
import io
import json
import os
import time
from contextlib import suppress
from datetime import timedelta
from queue import Empty

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import THERMOSTAT
from support.assertions import assert_problem

from ..core.data.models.columns import now
from ..core.data.session import sql, unit_of_work
from ..core.http.tabular import MAX_LINE_BYTES, row_reader
from ..core.jobs.schedule import periodic_tasks
from ..devices.models import Device
from ..users.models import User
from . import models, tasks
from .models import MAX_SHOWN_FAULTS, MAX_TRIES, Import

IMPORTS = "/api/v1/imports/"
DEVICES = "/api/v1/devices/"
CSV, NDJSON = "text/csv", "application/x-ndjson"
FORM, BOUNDED_FORM = "multipart/form-data", "multipart/form-data; boundary=x"
NAMES = list(THERMOSTAT)
POINTERS = [f"/{name}" for name in NAMES]
HEADER = ",".join(NAMES) + "\n"
LAMP = {**THERMOSTAT, "name": "Lamp", "type": "Light"}


def table(*rows, names=NAMES, **dialect):
    """Return a CSV file of rows."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, **dialect)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def lines(*rows):
    """Return an NDJSON file of rows."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def numbered(count):
    """Return as many rows, which differ in their serial number."""
    return [{**LAMP, "serial_number": f"{n}"} for n in range(count)]


def work(app):
    """Run the tasks that wait at the broker, as a worker, until none waits."""
    celery, done = app.extensions["celery"], 0
    with celery.connection_for_read() as connection, suppress(Empty):
        waiting = connection.SimpleQueue("celery")
        while message := waiting.get(block=False):
            message.ack()
            arguments, options, _ = message.payload
            headers = message.headers
            celery.tasks[headers["task"]].apply(
                arguments, options, task_id=headers["id"], headers=headers
            )
            done += 1
    return done


def lose_messages(app):
    """Delete the messages that wait at the broker."""
    with app.extensions["celery"].connection_for_read() as connection:
        connection.default_channel.queue_purge("celery")


def sweep(app, name):
    with app.app_context():
        periodic_tasks()[name].run()


def late(app, id, **values):
    """End the lease of an import, or its wait; `values`: other changes of it."""
    with app.app_context(), unit_of_work():
        Import.lock(id).update(due_at=now() - timedelta(seconds=1), **values)


@pytest.fixture(autouse=True)
def folder(app, tmp_path):
    """Return the folder of files, which is new for each test."""
    app.config["IMPORTS_FOLDER"] = str(tmp_path / "imports")
    return tmp_path / "imports"


@pytest.fixture
def send(app, client):
    """Return a function that imports a file to its end and returns the import."""

    def send(data, media_type=CSV, query="", client=client):
        sent = client.post(f"{IMPORTS}{query}", data=data, content_type=media_type)
        assert sent.status_code == 202, sent.json
        work(app)
        return client.get(sent.headers["Location"]).json

    return send


def begin(client, *rows):
    """Begin an import of rows, by default of one, and return it."""
    data = lines(*rows or [LAMP])
    sent = client.post(IMPORTS, data=data, content_type=NDJSON)
    assert sent.status_code == 202, sent.json
    return sent.json


def devices(client):
    """Return the written properties of the devices of an account, oldest first."""
    listed = client.get(f"{DEVICES}?per_page=100").json["items"]
    return [{name: device[name] for name in NAMES} for device in listed]


def faults(shown):
    return [(error["row"], error["pointer"]) for error in shown["errors"]]


def files(app):
    """Return the names of the files in the folder."""
    folder = app.config["IMPORTS_FOLDER"]
    return os.listdir(folder) if os.path.isdir(folder) else []


def pointers(response, status):
    return [error["pointer"] for error in assert_problem(response, status)["errors"]]


# Valid rows


@pytest.mark.parametrize("data, media_type", [(table, CSV), (lines, NDJSON)])
def test_a_file_is_registered_in_the_background_and_its_import_can_be_deleted(
    app, client, data, media_type
):
    body = data(THERMOSTAT, LAMP)
    sent = client.post(IMPORTS, data=body, content_type=media_type).json
    expected = {"status": "queued", "media_type": media_type, "owner": "pythonista"}
    expected |= {"name": None, "total": None, "errors": [], "dry_run": False}
    expected |= {"processed": 0, "created": 0, "rejected": 0}
    assert sent.items() >= expected.items()
    assert devices(client) == []
    known = {"If-None-Match": client.get(sent["url"]).headers["ETag"]}
    assert client.get(sent["url"], headers=known).status_code == 304
    assert work(app)
    shown = client.get(sent["url"], headers=known).json
    ended = {"status": "done", "processed": 2, "total": 2, "created": 2}
    assert shown.items() >= {**expected, **ended}.items()
    assert devices(client) == [THERMOSTAT, LAMP]
    assert files(app) == []
    assert client.get(IMPORTS).json["items"] == [shown]
    assert client.get(f"{IMPORTS}?status=queued").json["items"] == []
    assert client.delete(sent["url"]).status_code == 204
    assert devices(client) == [THERMOSTAT, LAMP]


@pytest.mark.parametrize(
    "name, kind, expected",
    [
        ("devices.csv", "application/octet-stream", CSV),
        ("devices.CSV", "application/vnd.ms-excel", CSV),
        ("devices.ndjson", "application/octet-stream", NDJSON),
        ("devices", "text/csv; charset=utf-8", CSV),
        ("Küche 🌡.csv", "text/csv", CSV),
    ],
)
def test_a_file_can_be_sent_in_a_multipart_form(app, client, name, kind, expected):
    data = (table if expected == CSV else lines)(THERMOSTAT).encode()
    sent = client.post(IMPORTS, data={"file": (io.BytesIO(data), name, kind)})
    assert sent.status_code == 202
    assert (sent.json["name"], sent.json["media_type"]) == (name, expected)
    work(app)
    assert devices(client) == [THERMOSTAT]


@pytest.mark.parametrize(
    "data, media_type",
    [
        ("\r\n" + table(THERMOSTAT), CSV),
        (table(THERMOSTAT).encode("utf-8-sig"), CSV),
        (table(THERMOSTAT, lineterminator="\n"), CSV),
        (table(THERMOSTAT).removesuffix("\r\n"), CSV),
        (table(THERMOSTAT, delimiter=";"), CSV),
        (table(THERMOSTAT, delimiter="\t"), CSV),
        (table(THERMOSTAT, lineterminator="\r\n\r\n"), CSV),
        (table(THERMOSTAT, quoting=csv.QUOTE_ALL), CSV),
        (table(THERMOSTAT).replace("name", " name ", 1), CSV),
        (table(THERMOSTAT, names=sorted(NAMES)), CSV),
        (lines(THERMOSTAT).encode("utf-8-sig"), NDJSON),
        (lines(THERMOSTAT | {"id": 1, "owner": "engineer", "url": "x"}), NDJSON),
        (lines(THERMOSTAT | {"created_at": "never"}), NDJSON),
    ],
)
def test_dialects_of_spreadsheets_any_order_and_read_only_properties_are_accepted(
    client, send, data, media_type
):
    assert send(data, media_type)["created"] == 1
    assert devices(client) == [THERMOSTAT]
    assert client.get(DEVICES).json["items"][0]["owner"] == "pythonista"


def test_a_dry_run_is_true_or_false_and_changes_nothing(client, send):
    shown = send(table(THERMOSTAT, dict.fromkeys(NAMES)), query="?dry_run=true")
    counts = {"status": "done", "processed": 2, "created": 0, "rejected": 1}
    assert shown.items() >= {**counts, "dry_run": True}.items()
    assert faults(shown) == [(2, pointer) for pointer in POINTERS]
    assert devices(client) == []
    for value in "", "1", "yes", "True":
        url = f"{IMPORTS}?dry_run={value}"
        refused = client.post(url, data=table(LAMP), content_type=CSV)
        assert pointers(refused, 400) == ["/dry_run"]


def test_rows_of_several_batches_are_registered_in_order(client, send):
    rows = numbered(2 * tasks.TRANSACTION_ROWS + 1)
    assert send(lines(*rows), NDJSON)["created"] == len(rows)
    exported = client.get(f"{DEVICES}export?format=ndjson", buffered=True).text
    numbers = [json.loads(line)["serial_number"] for line in exported.splitlines()]
    assert numbers == [row["serial_number"] for row in rows]


# Invalid rows


@pytest.mark.parametrize(
    "form, row, expected",
    [
        (CSV, "a,b,c,d", [""]),
        (CSV, "a,b,c,d,e,f", [""]),
        (CSV, 'a,b,c,d,"e', [""]),
        (CSV, 'a,b,c,"d"d,e', [""]),
        (CSV, "a,b,c,d,\xff", [""]),
        (CSV, "a,b,c,d," + "e" * (MAX_LINE_BYTES + 1), [""]),
        (CSV, "a,b,c,d," + "e" * 65, ["/serial_number"]),
        (CSV, "a,b,c,d,\0", ["/serial_number"]),
        (CSV, ",,,,", POINTERS),
        (NDJSON, "{", [""]),
        (NDJSON, "[]", [""]),
        (NDJSON, "null", [""]),
        (NDJSON, '"' + "x" * (MAX_LINE_BYTES + 1) + '"', [""]),
        (NDJSON, "\xff", [""]),
        (NDJSON, "[" * 5000, [""]),
        (NDJSON, json.dumps({**LAMP, "name": 7}), ["/name"]),
        (NDJSON, json.dumps({**LAMP, "colour": "red"}), ["/colour"]),
        (NDJSON, "{}", POINTERS),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)
def test_an_invalid_row_does_not_affect_the_next_ones(
    client, send, form, row, expected
):
    data = f"{row}\n" + lines(LAMP, THERMOSTAT)
    if form == CSV:
        data = table(LAMP, THERMOSTAT).replace("\r\n", f"\n{row}\n", 1)
    shown = send(data.encode("latin-1"), form)
    assert faults(shown) == [(1, pointer) for pointer in expected]
    assert (shown["total"], shown["created"], shown["rejected"]) == (3, 2, 1)
    assert devices(client) == [LAMP, THERMOSTAT]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=40,
    deadline=None,
)
@given(data=st.binary(max_size=200), form=st.sampled_from([CSV, NDJSON]))
def test_any_input_is_accepted_or_rejected_row_by_row(send, data, form):
    shown = send(HEADER.encode() + data if form == CSV else data, form)
    assert shown["status"] == "done"
    assert shown["processed"] == shown["total"]
    assert shown["created"] + shown["rejected"] == shown["total"]


# Download of errors


def test_an_import_shows_the_first_errors_and_all_can_be_downloaded(client, send):
    rejected = MAX_SHOWN_FAULTS + 20
    bad = [{**LAMP, "name": ""}] * rejected
    shown = send(table(THERMOSTAT, *bad, LAMP))
    counts = {"processed": rejected + 2, "created": 2, "rejected": rejected}
    assert shown.items() >= {**counts, "status": "done"}.items()
    detail = "The value is shorter than 1 character."
    expected = [
        {"row": row, "pointer": "/name", "detail": detail}
        for row in range(2, rejected + 2)
    ]
    assert shown["errors"] == expected[:MAX_SHOWN_FAULTS]
    assert devices(client) == [THERMOSTAT, LAMP]
    response = client.get(shown["url"] + "/errors", buffered=True)
    assert response.mimetype == CSV
    disposition = response.headers["Content-Disposition"]
    assert disposition == 'attachment; filename="errors.csv"'
    read = csv.DictReader(io.StringIO(response.text, newline=""))
    assert [{**fault, "row": int(fault["row"])} for fault in read] == expected


def test_the_number_of_errors_of_a_row_and_the_length_of_their_names_are_limited(
    client, send
):
    rows = {f"x{n}": 1 for n in range(100)}, {**LAMP, "=1": 1}, {**LAMP, "x" * 300: 1}
    shown = send(lines(*rows), NDJSON)
    many, others = shown["errors"][: tasks.MAX_FAULTS_PER_ROW], faults(shown)
    assert {error["row"] for error in many} == {1}
    assert others[len(many) :] == [(2, "/=1"), (3, "/" + "x" * 254)]
    downloaded = client.get(shown["url"] + "/errors", buffered=True).text
    assert len(downloaded.splitlines()) == 1 + len(others)


def test_an_import_without_rows_is_done_at_once_and_has_no_errors(client, send):
    for shown in send(HEADER), send("", NDJSON):
        assert (shown["status"], shown["total"]) == ("done", 0)
        response = client.get(shown["url"] + "/errors", buffered=True)
        assert response.text == "row,pointer,detail\r\n"


# Refused requests


def part(name, data="x"):
    """Return a file for a multipart form."""
    return io.BytesIO(data.encode()), name


@pytest.mark.parametrize(
    "data, media_type, status, expected",
    [
        ("\n", CSV, 422, POINTERS),
        ("name,location,type,model\n", CSV, 422, ["/serial_number"]),
        (HEADER.strip() + ",colour\n", CSV, 422, ["/colour"]),
        (HEADER.strip() + ",name\n", CSV, 422, ["/name"]),
        ("a b c\n", CSV, 422, ["/a b c", *POINTERS]),
        (b"\xff\xfen\0a\0m\0e\0", CSV, 400, [""]),
        (b'"name', CSV, 400, [""]),
        (b"x" * (MAX_LINE_BYTES + 1), CSV, 400, [""]),
        ({}, FORM, 422, ["/file"]),
        (b"", FORM, 422, ["/file"]),
        ({"file": "no file"}, FORM, 422, ["/file"]),
        ({"other": part("x.csv")}, FORM, 422, ["/other", "/file"]),
        ({"file": part("x.csv", table(LAMP)), "more": "1"}, FORM, 422, ["/more"]),
        ({"file": [part("x.csv"), part("y.csv")]}, FORM, 422, ["/file"]),
        ({"file": part("x.xlsx")}, FORM, 415, []),
        (b"--x\r\n", BOUNDED_FORM, 400, [""]),
        (b"nonsense", BOUNDED_FORM, 400, [""]),
        (b"--x\r\n\r\n\r\n--x--", BOUNDED_FORM, 400, [""]),
    ],
)
def test_an_invalid_header_or_form_is_refused_and_not_kept(
    app, client, data, media_type, status, expected
):
    refused = client.post(IMPORTS, data=data, content_type=media_type)
    errors = assert_problem(refused, status).get("errors", [])
    assert [error["pointer"] for error in errors] == expected
    assert client.get(IMPORTS).json["items"] == []
    assert files(app) == []


def test_a_file_of_another_media_type_is_refused(app, client):
    other = "application/json", "text/csv; charset=utf-16", "application/vnd.ms-excel"
    gzip = {"Content-Type": CSV, "Content-Encoding": "gzip"}
    for headers in {}, gzip, *({"Content-Type": kind} for kind in other):
        refused = client.post(IMPORTS, data=table(LAMP), headers=headers)
        assert_problem(refused, 415)
        assert refused.headers["Accept"].startswith("text/csv, application/x-ndjson")
    assert files(app) == []


def test_a_file_may_have_exactly_its_maximum_size_which_is_not_that_of_other_bodies(
    app, client
):
    data = table(LAMP)
    app.config |= {"MAX_CONTENT_LENGTH": 10, "MAX_IMPORT_BYTES": len(data)}
    for sent, status in (data, 202), (data + "x", 413):
        whole = client.post(IMPORTS, data=sent, content_type=CSV)
        form = client.post(IMPORTS, data={"file": part("x.csv", sent)})
        assert (whole.status_code, form.status_code) == (status, status)
    assert len(files(app)) == 2


def test_the_number_of_unfinished_imports_of_an_account_is_limited(
    app, client, engineer, monkeypatch
):
    monkeypatch.setattr(models, "MAX_WAITING", 5)
    for _ in range(5):
        begin(client)
    refused = client.post(IMPORTS, data=table(LAMP), content_type=CSV)
    assert_problem(refused, 409)
    begin(engineer)
    work(app)
    begin(client)


def test_a_folder_that_cannot_be_used_is_503(app, client, tmp_path):
    (tmp_path / "file").touch()
    app.config["IMPORTS_FOLDER"] = str(tmp_path / "file" / "folder")
    refused = client.post(IMPORTS, data=table(LAMP), content_type=CSV)
    assert_problem(refused, 503)
    assert str(tmp_path) not in refused.text


# Exactly once


def test_repeated_requests_with_a_key_and_repeated_messages_import_once(app, client):
    def post(data, media_type):
        headers = {"Idempotency-Key": "once", "Content-Type": media_type}
        return client.post(IMPORTS, data=data, headers=headers)

    def post_form(boundary):
        data = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; '
            f'filename="x.csv"\r\n\r\n{table(LAMP)}\r\n--{boundary}--\r\n'
        )
        return post(data, f"{FORM}; boundary={boundary}")

    first, second = post_form("one"), post_form("two")
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["Location"] == first.headers["Location"]
    assert second.json == first.json
    assert len(files(app)) == 1
    for other in post(table(THERMOSTAT), CSV), post(table(LAMP), NDJSON):
        assert pointers(other, 422) == ["/Idempotency-Key"]
    with app.app_context():
        advance = app.extensions["celery"].tasks["imports.advance"]
    for turn in range(3):
        advance.apply([first.json["id"]], task_id=f"task-{turn}")
    work(app)
    assert devices(client) == [LAMP]


def test_an_import_has_one_worker_at_a_time_and_another_after_its_lease(app, client):
    rows = numbered(2 * tasks.TRANSACTION_ROWS + 1)
    id = begin(client, *rows)["id"]
    with app.app_context():
        slow = tasks.steps(id, "slow")
        assert next(slow).processed == tasks.TRANSACTION_ROWS
        assert list(tasks.steps(id, "second")) == []
        assert next(slow).processed == 2 * tasks.TRANSACTION_ROWS
        late(app, id)
        with app.app_context():
            assert len(list(tasks.steps(id, "quick"))) == 2
        assert list(slow) == [None]
    meta = client.get(f"{DEVICES}?total=exact").json["meta"]
    assert meta["total"] == len(rows)


def test_imports_of_an_account_run_one_after_another(app, client, engineer):
    first, second, other = (
        begin(who, {**LAMP, "name": name})["id"]
        for who, name in ((client, "first"), (client, "second"), (engineer, "other"))
    )
    with app.app_context():
        lose_messages(app)
        assert list(tasks.steps(second, "eager")) == []
        assert len(list(tasks.steps(other, "busy"))) == 2
        assert len(list(tasks.steps(first, "first"))) == 2
    assert work(app) == 1, "the end of an import enqueues the next"
    assert [device["name"] for device in devices(client)] == ["first", "second"]


# Stalled imports


def test_an_import_without_a_worker_is_enqueued_again(app, client):
    created = begin(client)
    lose_messages(app)
    sweep(app, "imports.call_workers")
    assert work(app) == 0, "its own call may still be on its way"
    late(app, created["id"])
    sweep(app, "imports.call_workers")
    sweep(app, "imports.call_workers")
    assert work(app) == 1
    assert client.get(created["url"]).json["status"] == "done"


def test_an_import_without_progress_or_its_file_fails_and_the_next_begins(app, client):
    stuck, lost, fine = (begin(client) for _ in range(3))
    late(app, stuck["id"], tries=MAX_TRIES)
    with app.app_context(), unit_of_work():
        Import.lock(lost["id"]).path.unlink()
    work(app)
    ended = [client.get(each["url"]).json for each in (stuck, lost, fine)]
    assert [shown["status"] for shown in ended] == ["failed", "failed", "done"]
    assert [error["detail"] for shown in ended for error in shown["errors"]] == [
        "The import made no progress in 5 tries.",
        "The file of the import is missing.",
    ]
    assert faults(ended[0]) == faults(ended[1]) == [(1, "")]
    assert devices(client) == [LAMP]
    assert files(app) == []


INACTIVE = {"row": 2, "pointer": "", "detail": "The account is blocked or deleted."}


@pytest.mark.parametrize(
    "method, change, expected",
    [
        ("PATCH", {"status": "blocked"}, [("failed", 1, [INACTIVE])]),
        ("DELETE", None, [("failed", 1, [INACTIVE])]),
        ("PATCH", {"username": "herpetologist"}, [("running", 2, []), ("done", 2, [])]),
        ("PURGE", None, [None]),
    ],
)
def test_an_import_continues_only_for_an_active_account(
    app, admin, client, monkeypatch, method, change, expected
):
    monkeypatch.setattr(tasks, "TRANSACTION_ROWS", 1)
    id = begin(client, LAMP, THERMOSTAT)["id"]
    (owner,) = admin.get("/api/v1/users/?username=pythonista").json["items"]
    with app.app_context():
        steps = tasks.steps(id, "worker")
        assert next(steps).processed == 1
        if method == "PURGE":
            with unit_of_work():
                sql.session.execute(sql.delete(User).where(User.id == owner["id"]))
        else:
            admin.open(owner["url"], method=method, json=change)
        app.extensions["authenticator"].accounts.clear()  # as if a second had passed
        ended = [each and (each.status, each.created, each.errors) for each in steps]
    assert ended == expected


def test_a_batch_of_long_lines_has_fewer_rows():
    file = io.BytesIO(b'{"name": "%s"}\n' % (b"x" * (MAX_LINE_BYTES // 2)) * 5)
    rows = row_reader(file, "ndjson", Device)
    assert [len(rows.read_batch(100)) for _ in range(4)] == [2, 2, 1, 0]


def test_an_import_with_too_many_invalid_rows_fails(app, client, monkeypatch, send):
    monkeypatch.setattr(tasks, "MAX_REJECTED_ROWS", tasks.TRANSACTION_ROWS)
    rejected = 2 * tasks.TRANSACTION_ROWS
    shown = send(lines(*[{}] * (rejected + 1)), NDJSON)
    assert (shown["status"], shown["rejected"]) == ("failed", rejected)


# Cancel


def test_a_cancelled_import_does_not_begin_and_does_not_continue(app, client):
    rows = numbered(3 * tasks.TRANSACTION_ROWS)
    created, waiting = begin(client, *rows), begin(client)
    assert client.delete(waiting["url"]).status_code == 204
    with app.app_context():
        running = tasks.steps(created["id"], "worker")
        next(running)
        shown = client.get(created["url"]).json
        counts = {"processed": tasks.TRANSACTION_ROWS, "total": len(rows)}
        assert shown.items() >= {**counts, "status": "running"}.items()
        assert client.delete(created["url"]).status_code == 204
        assert list(running) == [None]
    work(app)
    assert client.get(DEVICES).json["meta"]["total"] == tasks.TRANSACTION_ROWS
    assert files(app) == []


# Cleanup


def test_old_imports_and_files_without_an_import_are_deleted(app, client, send, folder):
    old, new = send(table(dict.fromkeys(NAMES))), send(table(LAMP))
    waiting = begin(client)
    for created in (old, waiting):
        late(app, created["id"])
    (kept,) = files(app)
    long_ago = time.time() - tasks.ABANDONED_SECONDS - 1
    for name in ("young", "old"):
        (folder / name).touch()
    for name in ("old", kept):
        os.utime(folder / name, (long_ago, long_ago))
    sweep(app, "imports.tidy")
    left = [item["id"] for item in client.get(IMPORTS).json["items"]]
    assert left == [new["id"], waiting["id"]]
    assert sorted(files(app)) == sorted([kept, "young"])


# The folder of files


@pytest.mark.parametrize(
    "given, expected", [(None, "{instance}/imports"), ("here", "{here}"), ("/x", "/x")]
)
def test_the_folder_is_an_absolute_path(make_app, given, expected):
    app = make_app(IMPORTS_FOLDER=given)
    wanted = expected.format(instance=app.instance_path, here=os.path.abspath("here"))
    assert app.config["IMPORTS_FOLDER"] == wanted
