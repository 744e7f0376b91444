"""A worker runs each task to its end, even if a process dies, and logs the result."""

import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis

from conftest import close_stores
from myapp import create_app
from myapp.core.data.embedded_redis import start_redis
from myapp.core.data.models.idempotency import IdempotencyRecord
from myapp.core.data.redis import redis_store
from myapp.core.data.session import sql, unit_of_work
from myapp.core.jobs.worker import WORKER_TTL_SECONDS
from support.background import Account, background, worker
from support.features import SERVED
from support.features.sample_files.models import SampleFile
from support.workers import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
FOLDER_SETTING = "SAMPLE_FILES_FOLDER"
FILES = "/api/v1/sample_files/"
READY = "/status/ready"
NDJSON = "application/x-ndjson"
LINES = b'{"name": "Reading lamp"}\n' * 3


class Uploader(Account):
    """A new account that uploads files."""

    def upload(self, **headers):
        """Upload a file and return its URL."""
        headers = {"Content-Type": NDJSON, **headers}
        answer = self.client.post(FILES, data=LINES, headers=headers)
        assert answer.status_code == 202, answer.text
        return answer.json["url"]

    @contextmanager
    def blocking_upload(self, crew):
        """Upload a file whose task waits until the block ends.

        Yield the URL of the file once a process has begun to read it.
        """
        with crew.worker.paused():
            url = self.upload()
            os.remove(path := self.path(url))
            os.mkfifo(path)
        descriptor = open_for_writing(path)
        try:
            yield url
            os.write(descriptor, LINES)
        finally:
            os.close(descriptor)

    def path(self, url):
        """Return the path of the content of a file."""
        with self.app.app_context(), unit_of_work(writes=False):
            return sql.session.get(SampleFile, int(url.rpartition("/")[2])).path

    def status(self, url):
        return self.client.get(url).json["status"]

    def wait_until_done(self, url):
        wait_until(lambda: self.status(url) == "done")
        assert self.client.get(url).json["lines"] == 3


def open_for_writing(pipe):
    """Open a named pipe as soon as another process reads it."""
    opened = []

    def opens():
        try:
            opened.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # nothing reads it yet
            return False
        return True

    wait_until(opens)
    return opened[0]


def is_alive(pid):
    """Return True if a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def files(app):
    return set(Path(app.config[FOLDER_SETTING]).glob("*"))


@pytest.fixture
def me(service):
    return Uploader(service)


# Each task runs to its end


def test_a_task_whose_process_is_killed_runs_again(crew, at_work, me):
    with me.blocking_upload(crew) as url:
        pool = at_work.pool
        for pid in pool:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, pool)))
        again = open_for_writing(me.path(url))
        assert me.status(url) == "queued"
        os.close(again)
    me.wait_until_done(url)


def test_a_worker_that_is_asked_to_end_ends_its_task_and_begins_no_other(
    crew, at_work, me
):
    with me.blocking_upload(crew) as url:
        at_work.signal_parent(signal.SIGTERM)
        wait_until(lambda: "shutdown" in at_work.output)
        later = me.upload()
    assert at_work.exit_code() == 0
    assert me.status(url) == "done"
    assert me.status(later) == "queued"
    crew.get_worker()
    me.wait_until_done(later)


def test_a_task_of_a_removed_feature_is_dropped_with_a_line(service, at_work, me):
    before = len(at_work.output)
    service.extensions["celery"].send_task("sample_books.lend", [7])
    me.wait_until_done(me.upload())
    wait_until(lambda: "Dropped the task sample_books.lend, which" in at_work.output)
    assert "Traceback" not in at_work.output[before:]


# The broker


def test_without_a_broker_nothing_is_half_made(service, tmp_path, me):
    with start_redis(tmp_path) as (_, url):
        pass
    settings = ("SQLALCHEMY_DATABASE_URI", "REDIS_URL", FOLDER_SETTING)
    shared = {name: service.config[name] for name in settings}
    app = create_app("testing", features=SERVED, **shared, BROKER_URL=url)
    client = app.test_client()
    client.environ_base |= me.client.environ_base
    sent = {"data": LINES, "content_type": NDJSON}
    sent["headers"] = {"Idempotency-Key": "once"}
    kept = files(service)
    try:
        refused = client.post(FILES, **sent)
        assert (refused.status_code, refused.json["status"]) == (503, 503)
        assert int(refused.headers["Retry-After"]) > 0
        with app.app_context(), unit_of_work(writes=False):
            records = (SampleFile, "owner_id"), (IdempotencyRecord, "account_id")
            for model, column in records:
                mine = sql.select(model).filter_by(**{column: me.id})
                assert sql.session.scalars(mine).all() == []
        assert files(service) == kept
        with start_redis(tmp_path):
            answer = client.post(FILES, **sent)
            again = client.post(FILES, **sent)
            assert answer.status_code == again.status_code == 202
            assert again.json == answer.json
            assert again.headers["Idempotent-Replayed"] == "true"
            assert Redis.from_url(url).llen("celery") == 1
        assert len(files(service) - kept) == 1
        assert client.delete(answer.json["url"]).status_code == 204
    finally:
        close_stores(app)


# Health and logs


def ready(app):
    """Return the status of `/status/ready`, and the state of the worker."""
    answer = app.test_client().get(READY)
    return answer.status_code, answer.json["worker"]


def test_a_worker_that_ends_is_missed_at_once_but_for_another(
    service, at_work, tmp_path
):
    with worker(service, tmp_path, "--concurrency", "1") as second:
        assert ready(service) == (200, "ok")
        at_work.signal_parent(signal.SIGTERM)
        at_work.exit_code()
        assert ready(service) == (200, "ok")
        second.signal_parent(signal.SIGTERM)
        second.exit_code()
        assert ready(service) == (200, "does not answer")


def test_a_worker_that_is_killed_takes_its_pool_along_and_is_missed_soon(
    service, crew, at_work, me, monkeypatch
):
    wait_until(lambda: len(at_work.pool) == 2)
    pool = at_work.pool
    with me.blocking_upload(crew) as url:
        # so that it does not learn what its pool has done
        at_work.signal_parent(signal.SIGSTOP)
    me.wait_until_done(url)
    at_work.signal_parent(signal.SIGKILL)
    at_work.exit_code()
    wait_until(lambda: not any(map(is_alive, pool)))
    assert ready(service) == (200, "ok")
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + WORKER_TTL_SECONDS + 1)
    assert ready(service) == (200, "does not answer")


def test_a_line_tells_the_task_and_the_request_that_asked_for_it(at_work, me):
    wanted = uuid4().hex
    me.wait_until_done(me.upload(**{"X-Request-ID": wanted}))
    wait_until(lambda: f"{wanted}" in at_work.output and "3 lines" in at_work.output)
    lines = [line for line in at_work.lines if line["request_id"] == wanted]
    # A task that starts before the request commits is retried.
    (line,) = [line for line in lines if line["outcome"] != "will be retried"]
    assert len(line["task_id"]) == 36
    assert line["task"] == "sample_files.count_lines"
    assert line["outcome"].endswith(": 3 lines")
    assert (line["level"], line["ms"] > 0) == ("info", True)


def test_what_fails_leaves_its_trace_once(service, at_work, me):
    def unacknowledged():
        with service.app_context():
            return redis_store.hlen("unacked")

    wanted, before = uuid4().hex, unacknowledged()
    with at_work.paused():
        file = me.path(url := me.upload(**{"X-Request-ID": wanted}))
        file.unlink()
        file.mkdir()  # an error that the task does not expect
    wait_until(lambda: wanted in at_work.output and unacknowledged() <= before)
    (line,) = [line for line in at_work.lines if "IsADirectory" in str(line)]
    assert (line["request_id"], line["outcome"]) == (wanted, "failed")
    assert line["trace"].count("Traceback") == 1
    assert at_work.output.count("IsADirectoryError") == 1
    assert me.status(url) == "queued"


def test_a_worker_without_its_stores_tells_no_secret(service, tmp_path):
    secrets = {
        "MYAPP_SECRET_KEY": f"first-{uuid4().hex}",
        "MYAPP_JWT_SECRET_KEY": f"second-{uuid4().hex}",
        "DATABASE_URL": f"postgresql://me:third-{uuid4().hex}@127.0.0.1:1/myapp",
        "REDIS_URL": f"redis://:fourth-{uuid4().hex}@127.0.0.1:1/0",
    }
    words = ("worker", "--concurrency", "1")
    with background(service, tmp_path, *words, **secrets) as command:
        wait_until(lambda: "annot connect" in command.output)
        assert command.runs
    for secret in secrets.values():
        assert secret not in command.output
        password = secret.partition("@")[0].rpartition(":")[2]
        assert password not in command.output
