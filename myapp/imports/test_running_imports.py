"""Changes of an import or its account while a worker processes it."""

from io import BytesIO

import pytest

from conftest import THERMOSTAT
from myapp.core.data.session import sql, unit_of_work
from myapp.core.http.tabular import MAX_LINE_BYTES, row_reader
from myapp.core.http.uploads import Upload
from myapp.devices.models import Device
from myapp.imports import tasks
from myapp.imports.models import Import
from myapp.users.models import User


@pytest.fixture
def import_steps(live_app, tmp_path, monkeypatch):
    """Return the steps of an import of two rows after the first one."""
    live_app.config["IMPORTS_FOLDER"] = str(tmp_path)
    with live_app.app_context():
        monkeypatch.setattr(tasks, "TRANSACTION_ROWS", 1)
        upload = Upload(tmp_path)
        upload.media_type = "text/csv"
        cells = ",".join(THERMOSTAT), ",".join(THERMOSTAT.values())
        upload.write("\n".join((*cells, cells[1], "")).encode())
        upload.close()
        with unit_of_work():
            id = Import.create(upload, User.find("pythonista").id, False).id
        steps = tasks.steps(id, "a worker")
        assert next(steps).processed == 1
        yield steps


def test_a_batch_of_long_lines_has_fewer_rows():
    file = BytesIO(b'{"name": "%s"}\n' % (b"x" * (MAX_LINE_BYTES // 2)) * 5)
    rows = row_reader(file, "ndjson", Device)
    assert [len(rows.read_batch(100)) for _ in range(4)] == [2, 2, 1, 0]


def change(**values):
    run(sql.update(User).where(User.username == "pythonista").values(values))


def run(statement):
    with unit_of_work():
        sql.session.execute(statement)


def test_a_worker_leaves_a_cancelled_import(import_steps):
    run(sql.delete(Import))
    assert list(import_steps) == [None]


def test_a_worker_leaves_an_import_whose_account_is_deleted(import_steps):
    run(sql.delete(User).where(User.username == "pythonista"))
    assert list(import_steps) == [None]


def test_an_import_continues_after_its_account_is_renamed(import_steps):
    change(username="herpetologist", name_key="herpetologist")
    assert [result.status for result in import_steps] == ["running", "done"]


def test_an_import_of_a_blocked_account_fails(import_steps, live_app):
    change(status="blocked")
    live_app.extensions["authenticator"].accounts.clear()  # as if a second had passed
    assert [result.status for result in import_steps] == ["failed"]
