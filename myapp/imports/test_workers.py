"""Workers register each row once, even if processes end or are killed."""

import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy.exc import OperationalError

from myapp.core.data.models.columns import now
from myapp.core.data.session import sql, unit_of_work
from myapp.core.jobs.celery_app import enqueue
from myapp.devices.models import Device
from myapp.imports.models import LEASE, Import
from myapp.imports.tasks import call_workers
from support.background import Account, background, worker
from support.workers import TIMEOUT_SECONDS, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
FOLDER_SETTING = "IMPORTS_FOLDER"
IMPORTS = "/api/v1/imports/"
NDJSON = "application/x-ndjson"
FEW, MANY = 10, 5_000  # rows: little work, but twenty batches
LONG, ENDLESS = 2 * MANY, 5 * MANY


class Importer(Account):
    """A new account that imports devices."""

    def begin(self, rows):
        """Begin an import of `rows` devices; return its URL and their serial numbers."""
        serials = [f"{rows}-{n}-{uuid4().hex[:4]}" for n in range(rows)]
        answer = self.client.post(IMPORTS, data=ndjson(serials), content_type=NDJSON)
        assert answer.status_code == 202, answer.text
        return answer.json["url"], serials

    def read(self, url):
        return self.client.get(url).json

    def wait_for(self, url, rows):
        """Wait until this many rows of an import are processed."""
        wait_until(lambda: self.read(url)["processed"] >= rows)
        assert self.read(url)["status"] == "running"

    def done(self, *urls):
        """Wait for the end of imports, and return them."""
        ended = ("done", "failed")
        wait_until(lambda: all(self.read(url)["status"] in ended for url in urls))
        return [self.read(url) for url in urls]

    def devices(self, column=Device.serial_number):
        """Return the values of a column of the devices of the account, oldest first."""
        query = sql.select(column).filter_by(owner_id=self.id).order_by(Device.id)
        with self.app.app_context(), unit_of_work(writes=False):
            return sql.session.scalars(query).all()


def ndjson(serials):
    row = '{"name":"n","location":"l","type":"t","model":"m","serial_number":"%s"}'
    # A batch has at most one MiB, which is a few hundred long lines.
    return "".join(f"{row % serial:4096}\n" for serial in serials)


def number(url):
    """Return the id of the import with this URL."""
    return int(url.rpartition("/")[2])


def files(app):
    return set(Path(app.config[FOLDER_SETTING]).glob("*"))


def sweep(app):
    """Run the task that the scheduler sends every five seconds."""
    with app.app_context():
        enqueue(call_workers)


@pytest.fixture
def me(service):
    return Importer(service)


# Each row once


def test_a_repeatedly_killed_pool_registers_each_row_once(at_work, me):
    url, serials = me.begin(MANY)
    for rows in (1, MANY // 3, MANY // 3 * 2):
        me.wait_for(url, rows)
        for pid in at_work.pool:
            os.kill(pid, signal.SIGKILL)
    (ended,) = me.done(url)
    assert (ended["status"], ended["created"]) == ("done", MANY)
    assert me.devices() == serials


def test_another_worker_continues_where_a_lost_one_stopped(
    service, crew, at_work, folder_of_files, tmp_path, me
):
    """One worker is killed, one is a command, one is suspended and resumed."""
    other, third, still = (Importer(service) for _ in range(3))
    with ExitStack() as stack:

        def start(*words):
            command = background(service, tmp_path, *words, **folder_of_files)
            return stack.enter_context(command)

        clocks = start("beat"), start("beat")
        imports = [(me, *me.begin(LONG))]
        me.wait_for(imports[0][1], 1)
        at_work.send(signal.SIGKILL)
        at_work.exit_code()
        later = now() + 6 * LEASE  # independent of the start of the other processes
        set_leases(service, later)
        one = worker(service, tmp_path, "--concurrency", "1", **folder_of_files)
        stopped = stack.enter_context(one)

        file, serials = tmp_path / "rows.ndjson", [f"row {n}" for n in range(LONG)]
        file.write_text(ndjson(serials))
        command = start("import-devices", str(file), "--owner", third.name)
        wait_until(lambda: third.devices(Device.id))
        command.send(signal.SIGKILL)
        command.exit_code()
        set_leases(service, later)
        url = third.client.get(IMPORTS).json["items"][0]["url"]
        imports.append((third, url, serials))

        imports.append((still, *still.begin(LONG)))
        still.wait_for(imports[-1][1], 1)
        stop_between_writes(stopped, service)

        begun = [account.read(url) for account, url, _ in imports]
        assert all(
            i["status"] == "running" and 0 < i["created"] < i["total"] for i in begun
        )
        assert lease_of(service, imports[-1][1]) > now()
        set_leases(service, later)
        begun = [account.read(url) for account, url, _ in imports]
        crew.get_worker()
        for _ in range(2):
            sweep(service)
            other.done(other.begin(FEW)[0])
        assert [account.read(url) for account, url, _ in imports] == begun
        set_leases(service, now() - LEASE)
        for account, url, _ in imports:
            assert account.done(url)[0]["status"] == "done"
        stopped.send(signal.SIGCONT)
        wait_until(lambda: any("task" in line for line in stopped.lines))
        for account, url, serials in imports:
            assert account.devices() == serials
            assert account.read(url)["created"] == len(serials)
        assert all(clock.runs for clock in clocks)


def lease_of(app, url):
    """Return the end of the lease of an import."""
    with app.app_context(), unit_of_work(writes=False):
        return sql.session.scalar(sql.select(Import.due_at).filter_by(id=number(url)))


def set_leases(app, due_at):
    with app.app_context(), unit_of_work():
        sql.session.execute(sql.update(Import).values(due_at=due_at))


def stop_between_writes(command, app):
    """Suspend a command at a moment in which it holds no lock."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        command.send(signal.SIGSTOP)
        if not holds_a_lock(app):
            return
        command.send(signal.SIGCONT)
        time.sleep(0.01)
    pytest.fail("it always writes")


def holds_a_lock(app):
    """Return whether another transaction holds a lock on an import."""
    with app.app_context():
        engine = sql.create_engine(app.config["SQLALCHEMY_DATABASE_URI"])
        try:
            with engine.connect() as connection:
                if engine.name == "sqlite":
                    connection.exec_driver_sql("PRAGMA busy_timeout = 50")
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                else:
                    locked = sql.select(Import.id).with_for_update(nowait=True)
                    connection.execute(locked)
        except OperationalError:
            return True
        finally:
            engine.dispose()
    return False


# Order


def test_imports_of_an_account_run_in_order_and_block_no_other_account(
    service, at_work, me
):
    other = Importer(service)
    with at_work.paused():
        (url, first), (following, second) = me.begin(LONG), me.begin(MANY)
        theirs, serials = other.begin(FEW)
    for ended in me.done(url, following) + other.done(theirs):
        assert ended["status"] == "done"
    assert me.devices() == first + second
    assert other.devices() == serials
    assert other.devices(Device.id)[-1] < me.devices(Device.id)[-1]


def test_a_worker_leaves_a_cancelled_import_and_begins_the_next(service, at_work, me):
    start = len(at_work.output)
    with at_work.paused():
        cancelled, _ = me.begin(FEW)
        assert me.client.delete(cancelled).status_code == 204
        url, _ = me.begin(ENDLESS)
        following, serials = me.begin(FEW)
    with service.app_context(), unit_of_work(writes=False):
        file = sql.session.get(Import, number(url)).path
    me.wait_for(url, 1)
    assert file.exists()
    assert me.client.delete(url).status_code == 204
    registered = me.devices()
    assert me.client.get(url).status_code == 404
    assert not file.exists()
    wait_until(lambda: sweep(service) or me.read(following)["status"] == "done")
    assert me.devices() == registered + serials
    assert 0 < len(registered) < ENDLESS
    for ignored in cancelled, url:
        nothing = f"nothing to do for import {number(ignored)}"
        wait_until(lambda: nothing in at_work.output[start:])
    traces = [line for line in at_work.output[start:].splitlines() if "trace" in line]
    # perhaps also of a pool that was killed before
    assert [line for line in traces if "WorkerLost" not in line] == []


# The command


def test_ctrl_c_cancels_the_import_of_the_command(
    service, folder_of_files, tmp_path, me
):
    file = tmp_path / "rows.ndjson"
    file.write_text(ndjson(range(ENDLESS)))
    kept = files(service)
    words = ("import-devices", str(file), "--owner", me.name)
    with background(service, tmp_path, *words, **folder_of_files) as command:
        wait_until(lambda: me.devices(Device.id))
        command.signal_parent(signal.SIGINT)
        assert command.exit_code() == 1
        assert "Cancelled" in command.output and "Traceback" not in command.output
    assert me.client.get(IMPORTS).json["items"] == []
    assert 0 < len(me.devices()) < ENDLESS
    assert files(service) == kept
