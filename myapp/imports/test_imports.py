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

from ..core.data.models.columns import now
from ..core.data.session import unit_of_work
from ..core.http.tabular import MAX_LINE_BYTES
from ..core.jobs.schedule import periodic_tasks
from . import models, tasks
from .models import MAX_SHOWN_FAULTS, MAX_TRIES, Import

IMPORTS = "/api/v1/imports/"
DEVICES = "/api/v1/devices/"
CSV, NDJSON = "text/csv", "application/x-ndjson"
NAMES = list(THERMOSTAT)
HEADER = ",".join(NAMES) + "\n"
LAMP = {**THERMOSTAT, "name": "Lamp", "type": "Light"}


def table(*rows):
    """Return a CSV file of rows; each is a dict or a list of cells."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(NAMES)
    for row in rows:
        writer.writerow(row.values() if isinstance(row, dict) else row)
    return text.getvalue()


def lines(*rows):
    """Return an NDJSON file of rows."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def next_of(waiting):
    with suppress(Empty):
        return waiting.get(block=False)


def work(app):
    """Run the tasks that wait at the broker, as a worker, until none waits."""
    celery, done = app.extensions["celery"], 0
    with celery.connection_for_read() as connection:
        waiting = connection.SimpleQueue("celery")
        while message := next_of(waiting):
            message.ack()
            arguments, options, _ = message.payload
            headers = message.headers
            celery.tasks[headers["task"]].apply(
                arguments, options, task_id=headers["id"], headers=headers
            )
            done += 1
        waiting.close()
    return done


@pytest.fixture(autouse=True)
def folder(app, tmp_path):
    """Return the folder of files, which is new for each test."""
    app.config["IMPORTS_FOLDER"] = str(tmp_path / "imports")


@pytest.fixture
def send(app, client):
    """Return a function that imports a file to its end and returns the import."""

    def send(data, media_type=CSV, query="", client=client):
        sent = client.post(f"{IMPORTS}{query}", data=data, content_type=media_type)
        assert sent.status_code == 202, sent.json
        work(app)
        return client.get(sent.headers["Location"]).json

    return send


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
    assert response.status_code == status, response.json
    return [error["pointer"] for error in response.json["errors"]]


# Valid rows


@pytest.mark.parametrize("data, media_type", [(table, CSV), (lines, NDJSON)])
def test_a_file_is_registered_in_the_background(app, client, data, media_type):
    body = data(THERMOSTAT, LAMP)
    sent = client.post(IMPORTS, data=body, content_type=media_type)
    assert sent.status_code == 202
    assert sent.headers["Location"] == sent.json["url"]
    expected = {
        "status": "queued",
        "media_type": media_type,
        "name": None,
        "processed": 0,
        "total": None,
        "created": 0,
        "rejected": 0,
        "errors": [],
        "dry_run": False,
        "owner": "pythonista",
    }
    assert sent.json.items() >= expected.items()
    assert devices(client) == []
    assert work(app)
    shown = client.get(sent.json["url"]).json
    ended = {"status": "done", "processed": 2, "total": 2, "created": 2}
    assert shown.items() >= {**expected, **ended}.items()
    assert devices(client) == [THERMOSTAT, LAMP]
    assert files(app) == []


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


def test_ndjson_can_begin_with_a_byte_order_mark(client, send):
    assert send(lines(THERMOSTAT).encode("utf-8-sig"), NDJSON)["created"] == 1
    assert devices(client) == [THERMOSTAT]


@pytest.mark.parametrize(
    "data",
    [
        "\r\n" + table(THERMOSTAT),
        table(THERMOSTAT).encode("utf-8-sig"),
        table(THERMOSTAT).replace("\r\n", "\n"),
        table(THERMOSTAT).removesuffix("\r\n"),
        table(THERMOSTAT).replace(",", ";"),
        table(THERMOSTAT).replace(",", "\t"),
        table(THERMOSTAT).replace("\r\n", "\r\n\r\n"),
        table(THERMOSTAT)
        .replace(",", '","')
        .replace("\r\n", '"\r\n"')[:-1]
        .join('""')[:-1],
        table(THERMOSTAT).replace("name", " name ", 1),
    ],
    ids=[
        "a gap",
        "a mark",
        "\\n",
        "no end",
        "semicolons",
        "tabs",
        "gaps",
        "quotes",
        "spaces",
    ],
)
def test_the_csv_dialects_of_spreadsheets_are_accepted(client, send, data):
    assert send(data)["created"] == 1
    assert devices(client) == [THERMOSTAT]


def test_columns_can_have_any_order(client, send):
    send("type,name,serial_number,model,location\nT,N,S,M,L\n")
    (device,) = devices(client)
    assert device == dict(zip(NAMES, "NLTMS"))


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_an_exported_file_can_be_imported(client, engineer, send, form):
    nasty = ["=1+1", "'=1", "'", "a\r\nb", 'say "x"', "a,b;c\td", "🌡", " ", "-1", "＝1"]
    for text in nasty:
        client.post(DEVICES, json=dict.fromkeys(NAMES, text))
    exported = client.get(f"{DEVICES}export?format={form}", buffered=True)
    shown = send(exported.data, {"csv": CSV, "ndjson": NDJSON}[form], "", engineer)
    assert (shown["created"], shown["rejected"]) == (len(nasty), 0)
    assert devices(engineer) == devices(client)


def test_a_dry_run_changes_nothing(app, client, send):
    shown = send(table(THERMOSTAT, [""] * 5), query="?dry_run=true")
    counts = {"status": "done", "processed": 2, "created": 0, "rejected": 1}
    assert shown.items() >= counts.items()
    assert shown["dry_run"] is True
    assert faults(shown) == [(2, f"/{name}") for name in NAMES]
    assert devices(client) == []


def test_an_import_without_rows_is_done_at_once(client, send):
    assert send(HEADER)["total"] == 0
    assert send("", NDJSON).items() >= {"status": "done", "total": 0}.items()


def test_rows_of_several_batches_are_registered_in_order(client, send):
    rows = [
        {**THERMOSTAT, "serial_number": f"{n}"}
        for n in range(2 * tasks.TRANSACTION_ROWS + 1)
    ]
    assert send(lines(*rows), NDJSON)["created"] == len(rows)
    exported = client.get(f"{DEVICES}export?format=ndjson", buffered=True).text
    numbers = [json.loads(line)["serial_number"] for line in exported.splitlines()]
    assert numbers == [row["serial_number"] for row in rows]


# Invalid rows


def test_an_invalid_row_is_reported_and_the_others_are_registered(client, send):
    shown = send(table(THERMOSTAT, {**LAMP, "name": ""}, LAMP))
    counts = {"status": "done", "processed": 3, "created": 2, "rejected": 1}
    assert shown.items() >= counts.items()
    values = {"row": 2, "pointer": "/name"}
    (error,) = shown["errors"]
    assert error == {**values, "detail": "The value is shorter than 1 character."}
    assert devices(client) == [THERMOSTAT, LAMP]


@pytest.mark.parametrize(
    "row, expected",
    [
        ("a,b,c,d", [""]),
        ("a,b,c,d,e,f", [""]),
        ('a,b,c,d,"e', [""]),
        ('a,b,c,"d"d,e', [""]),
        ("a,b,c,d,\xff", [""]),
        ("a,b,c,d," + "e" * (MAX_LINE_BYTES + 1), [""]),
        ("a,b,c,d," + "e" * 65, ["/serial_number"]),
        ("a,b,c,d,\0", ["/serial_number"]),
        (",,,,", [f"/{name}" for name in NAMES]),
    ],
    ids="few many open quoted bytes long longer nul empty".split(),
)
def test_a_malformed_row_does_not_affect_the_next(client, send, row, expected):
    data = (
        f"{HEADER}{row}\n".encode("latin-1") + table(LAMP).partition("\n")[2].encode()
    )
    shown = send(data)
    assert faults(shown) == [(1, pointer) for pointer in expected]
    assert (shown["total"], shown["created"], shown["rejected"]) == (2, 1, 1)
    assert devices(client) == [LAMP]


@pytest.mark.parametrize(
    "line, expected",
    [
        ("{", [""]),
        ("[]", [""]),
        ("null", [""]),
        ('"' + "x" * (MAX_LINE_BYTES + 1) + '"', [""]),
        ("\xff", [""]),
        ("[" * 5000, [""]),
        (json.dumps({**LAMP, "name": 7}), ["/name"]),
        (json.dumps({**LAMP, "colour": "red"}), ["/colour"]),
        ("{}", [f"/{name}" for name in NAMES]),
    ],
    ids="half list null long bytes deep number unknown empty".split(),
)
def test_an_invalid_line_does_not_affect_the_next(client, send, line, expected):
    data = f"{line}\n".encode("latin-1") + lines(LAMP).encode()
    shown = send(data, NDJSON)
    assert faults(shown) == [(1, pointer) for pointer in expected]
    assert (shown["total"], shown["created"], shown["rejected"]) == (2, 1, 1)
    assert devices(client) == [LAMP]


def test_an_unclosed_quote_affects_only_its_row(client, send):
    rows = table(LAMP, THERMOSTAT).partition("\n")[2]
    shown = send(HEADER + 'a,b,c,d,"e\n' + rows)
    assert faults(shown) == [(1, "")]
    assert devices(client) == [LAMP, THERMOSTAT]


def test_read_only_properties_are_ignored(client, send):
    row = {**LAMP, "id": 1, "url": "x", "owner": "engineer", "created_at": "never"}
    assert send(lines(row), NDJSON)["created"] == 1
    (device,) = client.get(DEVICES).json["items"]
    assert device["owner"] == "pythonista"


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
    rows = [{**LAMP, "name": ""} for _ in range(MAX_SHOWN_FAULTS + 20)]
    shown = send(table(*rows))
    assert [row for row, _ in faults(shown)] == list(range(1, MAX_SHOWN_FAULTS + 1))
    response = client.get(shown["url"] + "/errors", buffered=True)
    assert response.status_code == 200
    assert response.mimetype == CSV
    assert (
        response.headers["Content-Disposition"] == 'attachment; filename="errors.csv"'
    )
    read = list(csv.DictReader(io.StringIO(response.text, newline="")))
    assert [int(fault["row"]) for fault in read] == list(range(1, len(rows) + 1))
    assert {(f["pointer"], f["detail"]) for f in read} == {
        ("/name", "The value is shorter than 1 character.")
    }


def test_the_number_of_errors_of_a_row_is_limited(client, send):
    shown = send(lines({f"x{n}": 1 for n in range(100)}), NDJSON)
    assert len(shown["errors"]) == tasks.MAX_FAULTS_PER_ROW


def test_formulas_in_downloaded_errors_are_escaped(client, send):
    shown = send(lines({**LAMP, "=1": 1}), NDJSON)
    assert faults(shown) == [(1, "/=1")]
    shown = send(lines({**LAMP, "x" * 300: 1}), NDJSON)
    assert client.get(shown["url"] + "/errors", buffered=True).status_code == 200


def test_an_import_without_errors_has_an_empty_list_of_errors(client, send):
    shown = send(table(LAMP))
    response = client.get(shown["url"] + "/errors", buffered=True)
    assert response.text == "row,pointer,detail\r\n"


# Refused requests


@pytest.mark.parametrize(
    "header, expected",
    [
        ("", [f"/{name}" for name in NAMES]),
        ("name,location,type,model", ["/serial_number"]),
        (HEADER.strip() + ",colour", ["/colour"]),
        (HEADER.strip() + ",name", ["/name"]),
        ("a b c", ["/a b c", *(f"/{name}" for name in NAMES)]),
    ],
)
def test_an_invalid_header_is_refused(app, client, header, expected):
    refused = client.post(IMPORTS, data=header + "\n", content_type=CSV)
    assert pointers(refused, 422) == expected
    assert client.get(IMPORTS).json["items"] == []
    assert files(app) == []


@pytest.mark.parametrize(
    "data", [b"\xff\xfen\0a\0m\0e\0", b'"name', b"x" * (MAX_LINE_BYTES + 1)]
)
def test_an_unreadable_header_is_malformed(app, client, data):
    assert pointers(client.post(IMPORTS, data=data, content_type=CSV), 400) == [""]
    assert files(app) == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "application/json"},
        {"Content-Type": "text/csv; charset=utf-16"},
        {"Content-Type": CSV, "Content-Encoding": "gzip"},
        {"Content-Type": "application/vnd.ms-excel"},
    ],
)
def test_a_file_of_another_media_type_is_refused(app, client, headers):
    refused = client.post(IMPORTS, data=table(LAMP), headers=headers)
    assert refused.status_code == 415
    assert refused.headers["Accept"].startswith("text/csv, application/x-ndjson")
    assert files(app) == []


@pytest.mark.parametrize(
    "form, status",
    [
        ({}, 422),
        ({"file": "no file"}, 422),
        ({"other": (io.BytesIO(b"x"), "x.csv")}, 422),
        ({"file": (io.BytesIO(table(LAMP).encode()), "x.csv"), "more": "1"}, 422),
        ({"file": [(io.BytesIO(b"x"), "x.csv"), (io.BytesIO(b"x"), "y.csv")]}, 422),
        ({"file": (io.BytesIO(b"x"), "x.xlsx")}, 415),
    ],
    ids="nothing text another more two kind".split(),
)
def test_an_invalid_form_is_refused(app, client, form, status):
    kind = "multipart/form-data"
    refused = client.post(IMPORTS, data=form, content_type=kind)
    assert refused.status_code == status
    assert client.get(IMPORTS).json["items"] == []
    assert files(app) == []


@pytest.mark.parametrize(
    "data, kind",
    [
        (b"", "multipart/form-data"),
        (b"--x\r\n", "multipart/form-data; boundary=x"),
        (b"nonsense", "multipart/form-data; boundary=x"),
        (b"--x\r\n\r\n\r\n--x--", "multipart/form-data; boundary=x"),
    ],
)
def test_a_malformed_form_is_refused(app, client, data, kind):
    refused = client.post(IMPORTS, data=data, content_type=kind)
    assert refused.status_code in (400, 422)
    assert files(app) == []


def test_a_file_that_is_too_large_is_refused(app, client):
    data = table(LAMP).encode()
    app.config["MAX_IMPORT_BYTES"] = len(data)
    sent = client.post(IMPORTS, data=data, content_type=CSV)
    assert sent.status_code == 202
    refused = client.post(IMPORTS, data=data + b"x", content_type=CSV)
    assert refused.status_code == 413
    form = {"file": (io.BytesIO(data + b"x"), "x.csv")}
    assert client.post(IMPORTS, data=form).status_code == 413
    form = {"file": (io.BytesIO(data), "x.csv")}
    assert client.post(IMPORTS, data=form).status_code == 202
    assert len(files(app)) == 2


def test_a_file_can_be_larger_than_other_bodies(app, client):
    app.config["MAX_CONTENT_LENGTH"] = 10
    sent = client.post(IMPORTS, data=table(LAMP), content_type=CSV)
    assert sent.status_code == 202


@pytest.mark.parametrize("value", ["", "1", "yes", "True"])
def test_a_dry_run_is_true_or_false(client, value):
    refused = client.post(
        f"{IMPORTS}?dry_run={value}", data=table(LAMP), content_type=CSV
    )
    assert pointers(refused, 400) == ["/dry_run"]


def test_the_number_of_unfinished_imports_of_an_account_is_limited(
    app, client, engineer, monkeypatch
):
    monkeypatch.setattr(models, "MAX_WAITING", 5)
    body = {"data": table(LAMP), "content_type": CSV}
    for _ in range(5):
        assert client.post(IMPORTS, **body).status_code == 202
    assert client.post(IMPORTS, **body).status_code == 409
    assert engineer.post(IMPORTS, **body).status_code == 202
    work(app)
    assert client.post(IMPORTS, **body).status_code == 202


def test_a_folder_that_cannot_be_used_is_503(app, client, tmp_path):
    (tmp_path / "file").touch()
    app.config["IMPORTS_FOLDER"] = str(tmp_path / "file" / "folder")
    refused = client.post(IMPORTS, data=table(LAMP), content_type=CSV)
    assert refused.status_code == 503
    assert str(tmp_path) not in refused.text


# Exactly once


def test_an_idempotency_key_imports_once(app, client):
    headers = {"Idempotency-Key": "once"}
    body = {"data": table(LAMP), "content_type": CSV, "headers": headers}
    first, second = client.post(IMPORTS, **body), client.post(IMPORTS, **body)
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["Location"] == first.headers["Location"]
    assert len(files(app)) == 1
    for change in {"data": table(THERMOSTAT)}, {"content_type": NDJSON}:
        other = client.post(IMPORTS, **(body | change))
        assert pointers(other, 422) == ["/Idempotency-Key"]
    work(app)
    assert devices(client) == [LAMP]


def test_a_retried_form_is_the_same_request_with_another_boundary(app, client):
    def post(boundary):
        data = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; '
            f'filename="x.csv"\r\n\r\n{table(LAMP)}\r\n--{boundary}--\r\n'
        )
        kind = f"multipart/form-data; boundary={boundary}"
        headers = {"Idempotency-Key": "once"}
        return client.post(IMPORTS, data=data, content_type=kind, headers=headers)

    assert post("one").json == post("two").json


def test_a_repeated_task_message_registers_once(app, client):
    id = client.post(IMPORTS, data=table(LAMP), content_type=CSV).json["id"]
    with app.app_context():
        advance = app.extensions["celery"].tasks["imports.advance"]
    for turn in range(3):
        advance.apply([id], task_id=f"task-{turn}")
    work(app)
    assert devices(client) == [LAMP]


def test_a_worker_that_lost_its_lease_registers_nothing(app, client):
    """Another worker has taken over after the lease expired."""
    rows = [{**LAMP, "name": f"{n}"} for n in range(tasks.TRANSACTION_ROWS + 1)]
    id = client.post(IMPORTS, data=lines(*rows), content_type=NDJSON).json["id"]
    with app.app_context():
        slow = tasks.steps(id, "slow")
        assert next(slow).processed == tasks.TRANSACTION_ROWS
        late(app, id)
        with app.app_context():
            assert len(list(tasks.steps(id, "quick"))) == 2
        assert list(slow) == [None]
    assert client.get(f"{DEVICES}?total=exact").json["meta"]["total"] == len(rows)


def test_an_import_has_one_worker_at_a_time(app, client):
    rows = [{**LAMP, "name": f"{n}"} for n in range(tasks.TRANSACTION_ROWS + 1)]
    id = client.post(IMPORTS, data=lines(*rows), content_type=NDJSON).json["id"]
    with app.app_context():
        first = tasks.steps(id, "first")
        next(first)
        assert list(tasks.steps(id, "second")) == []
        assert len(list(first)) == 2


def test_imports_of_an_account_run_one_after_another(app, client, engineer):
    def post(client, name):
        body = lines({**LAMP, "name": name})
        return client.post(IMPORTS, data=body, content_type=NDJSON).json["id"]

    first, second = post(client, "first"), post(client, "second")
    other = post(engineer, "other")
    with app.app_context():
        assert list(tasks.steps(second, "eager")) == []
        assert len(list(tasks.steps(other, "busy"))) == 2
        assert len(list(tasks.steps(first, "first"))) == 2
    work(app)
    assert [device["name"] for device in devices(client)] == ["first", "second"]


def test_the_end_of_an_import_enqueues_the_next(app, client):
    body = {"data": table(LAMP), "content_type": CSV}
    first, second = (client.post(IMPORTS, **body).json for _ in range(2))
    with app.app_context():
        with app.extensions["celery"].connection_for_read() as connection:
            connection.default_channel.queue_purge("celery")
        list(tasks.steps(first["id"], "worker"))
    assert work(app) == 1
    assert client.get(second["url"]).json["status"] == "done"


# Stalled imports


def sweep(app, name):
    with app.app_context():
        periodic_tasks()[name].run()


def test_an_import_without_a_worker_is_enqueued_again(app, client):
    created = client.post(IMPORTS, data=table(LAMP), content_type=CSV).json
    with app.app_context():
        with app.extensions["celery"].connection_for_read() as connection:
            connection.default_channel.queue_purge("celery")
    sweep(app, "imports.call_workers")
    assert work(app) == 0, "its own call may still be on its way"
    late(app, created["id"])
    sweep(app, "imports.call_workers")
    sweep(app, "imports.call_workers")
    assert work(app) == 1
    assert client.get(created["url"]).json["status"] == "done"


def late(app, id, **values):
    with app.app_context(), unit_of_work():
        Import.lock(id).update(due_at=now() - timedelta(seconds=1), **values)


def test_an_import_without_progress_fails(app, client):
    created = client.post(IMPORTS, data=table(LAMP), content_type=CSV).json
    late(app, created["id"], tries=MAX_TRIES)
    work(app)
    shown = client.get(created["url"]).json
    assert shown["status"] == "failed"
    assert "made no progress" in shown["errors"][0]["detail"]
    assert devices(client) == []
    assert files(app) == []


def test_an_import_with_too_many_invalid_rows_fails(app, client, monkeypatch):
    monkeypatch.setattr(tasks, "MAX_REJECTED_ROWS", tasks.TRANSACTION_ROWS)
    bad = lines(*[{}] * (2 * tasks.TRANSACTION_ROWS + 1))
    created = client.post(IMPORTS, data=bad, content_type=NDJSON).json
    work(app)
    shown = client.get(created["url"]).json
    assert (shown["status"], shown["rejected"]) == (
        "failed",
        2 * tasks.TRANSACTION_ROWS,
    )


def test_an_import_without_its_file_fails(app, client):
    created = client.post(IMPORTS, data=table(LAMP), content_type=CSV).json
    for name in files(app):
        os.remove(os.path.join(app.config["IMPORTS_FOLDER"], name))
    work(app)
    shown = client.get(created["url"]).json
    assert shown["status"] == "failed"
    assert faults(shown) == [(1, "")]


@pytest.mark.parametrize("change", ["block", "delete"])
def test_the_import_of_an_inactive_account_fails(app, admin, client, change):
    created = client.post(IMPORTS, data=table(LAMP), content_type=CSV).json
    url = f"/api/v1/users/{client.get('/api/v1/account').json['id']}"
    if change == "delete":
        assert admin.delete(url).status_code == 204
    else:
        assert admin.patch(url, json={"status": "blocked"}).status_code == 200
    work(app)
    shown = admin.get(created["url"]).json
    assert shown["status"] == "failed"
    assert "blocked or deleted" in shown["errors"][0]["detail"]
    assert devices(admin) == []


# Read, cancel


def test_imports_are_listed_and_filtered(client, send):
    done = send(table(LAMP))
    waiting = client.post(IMPORTS, data=table(LAMP), content_type=CSV).json
    assert client.get(IMPORTS).json["items"] == [done, waiting]
    assert client.get(f"{IMPORTS}?status=done").json["items"] == [done]
    newest = client.get(f"{IMPORTS}?sort=-id&per_page=1").json
    assert newest["items"] == [waiting]
    assert newest["meta"]["total"] == 2


def test_progress_changes_the_etag_of_an_import(app, client):
    url = client.post(IMPORTS, data=table(LAMP), content_type=CSV).json["url"]
    before = client.get(url).headers["ETag"]
    assert client.get(url).headers["ETag"] == before
    known = {"If-None-Match": before}
    assert client.get(url, headers=known).status_code == 304
    work(app)
    assert client.get(url, headers=known).status_code == 200


def test_a_cancelled_import_does_not_begin(app, client):
    url = client.post(IMPORTS, data=table(LAMP), content_type=CSV).json["url"]
    assert client.delete(url).status_code == 204
    assert client.get(url).status_code == 404
    assert files(app) == []
    work(app)
    assert devices(client) == []


def test_a_cancelled_import_does_not_continue(app, client):
    rows = [{**LAMP, "name": f"{n}"} for n in range(3 * tasks.TRANSACTION_ROWS)]
    created = client.post(IMPORTS, data=lines(*rows), content_type=NDJSON).json
    with app.app_context():
        running = tasks.steps(created["id"], "worker")
        next(running)
        shown = client.get(created["url"]).json
        assert shown["status"] == "running"
        assert (shown["processed"], shown["total"]) == (
            tasks.TRANSACTION_ROWS,
            len(rows),
        )
        assert client.delete(created["url"]).status_code == 204
        assert list(running) == [None]
    assert client.get(DEVICES).json["meta"]["total"] == tasks.TRANSACTION_ROWS
    assert files(app) == []


def test_a_deleted_import_keeps_its_devices(client, send):
    done = send(table(LAMP))
    assert client.delete(done["url"]).status_code == 204
    assert devices(client) == [LAMP]


# Cleanup


def test_old_imports_are_deleted(app, client, send):
    old, new = send(table([""] * 5)), send(table(LAMP))
    waiting = client.post(IMPORTS, data=table(LAMP), content_type=CSV).json
    for created in (old, waiting):
        late(app, created["id"])
    sweep(app, "imports.tidy")
    left = [item["id"] for item in client.get(IMPORTS).json["items"]]
    assert left == [new["id"], waiting["id"]]


def test_a_file_without_an_import_is_deleted_later(app, client):
    waiting = client.post(IMPORTS, data=table(LAMP), content_type=CSV).json
    (kept,) = files(app)
    folder = app.config["IMPORTS_FOLDER"]
    long_ago = time.time() - tasks.ABANDONED_SECONDS - 1
    for name in ("young", "old"):
        with open(os.path.join(folder, name), "w"):
            pass
    for name in ("old", kept):
        os.utime(os.path.join(folder, name), (long_ago, long_ago))
    sweep(app, "imports.tidy")
    assert sorted(files(app)) == sorted([kept, "young"])
    os.remove(os.path.join(folder, "young"))
    assert client.delete(waiting["url"]).status_code == 204
