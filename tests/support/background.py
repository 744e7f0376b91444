"""`flask worker`, `flask beat` and other commands, as production runs them.

They are processes of their own and end with the tests, however these end. The tests of a
module share the stores of an application, and a worker; FOLDER_SETTING of the module is
the name of the setting of the folder of files.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from conftest import signed_in_client
from myapp.core.data.embedded_redis import start_redis
from myapp.core.data.redis import redis_store
from myapp.core.data.session import sql, unit_of_work
from myapp.core.jobs.worker import WORKERS_KEY
from myapp.core.processes import spawn
from myapp.users.models import User
from support.workers import (
    ROOT,
    TIMEOUT_SECONDS,
    production_environment,
    temporary_app,
    wait_until,
)


class Background:
    """A running command of `flask`; `pid` is also the id of its process group."""

    def __init__(self, process, log):
        self.pid = process.pid
        self._process = process
        self._log = log

    def send(self, number):
        """Have all its processes get this signal."""
        os.killpg(self.pid, number)

    def signal_parent(self, number):
        """Send this signal to the first of its processes, as an init system does."""
        self._process.send_signal(number)

    def exit_code(self):
        """Its exit code, once it has one."""
        return self._process.wait(TIMEOUT_SECONDS)

    @property
    def runs(self):
        return self._process.poll() is None

    @property
    def pool(self):
        """The process ids of those that do its tasks."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    @property
    def output(self):
        return self._log.read_text()

    @property
    def lines(self):
        """The lines of its log, each as a dict."""
        text = self.output.splitlines()
        return [json.loads(line) for line in text if line.startswith("{")]

    @contextmanager
    def paused(self):
        """Nothing of it goes on while the block lasts."""
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)


@contextmanager
def background(app, folder, *words, **settings):
    """Run a command while the block lasts, on the stores of `app`; yield it.

    `folder`: the command gets a new folder in it.
    """
    own = folder / str(len(list(folder.iterdir())))
    own.mkdir()
    with open(own / "log", "wb") as log:
        process = spawn(
            [sys.executable, "-m", "flask", "--app", "myapp", *words],
            cwd=ROOT,
            env=production_environment(app, own, **settings),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    command = Background(process, own / "log")
    try:
        yield command
    finally:
        if command.runs:
            command.send(signal.SIGKILL)
        command.exit_code()
        print(command.output)  # pytest shows it where a test has failed


@contextmanager
def worker(app, folder, *options, **settings):
    """Yield a worker while the block lasts, from its first heartbeat."""
    before, own = worker_names(app), {""}
    try:
        with background(app, folder, "worker", *options, **settings) as command:
            wait_until(lambda: not command.runs or worker_names(app) - before)
            assert command.runs, command.output
            own = worker_names(app) - before
            yield command
    finally:
        with app.app_context():
            redis_store.zrem(WORKERS_KEY, *own)


class SharedWorker:
    """A worker with two processes that tests share, until one of them kills it."""

    def __init__(self, app, folder, **settings):
        self.worker = None
        self._stack, self._app = ExitStack(), app
        self._folder, self._settings = folder, settings

    def get_worker(self):
        """Return the worker; start another one if the last one is gone."""
        if self.worker is None or not self.worker.runs:
            self.stop()
            two = worker(
                self._app, self._folder, "--concurrency", "2", **self._settings
            )
            self.worker = self._stack.enter_context(two)
        return self.worker

    def stop(self):
        """End it, if it is there."""
        self._stack.close()


def worker_names(app):
    """Return the keys of the heartbeats of workers."""
    with app.app_context():
        return set(redis_store.zrange(WORKERS_KEY, 0, -1))


class Account:
    """A new account, with its client."""

    def __init__(self, app):
        self.app, self.name = app, f"member-{uuid4().hex[:8]}"
        self.client = signed_in_client(app, self.name)
        with app.app_context(), unit_of_work(writes=False):
            mine = sql.select(User.id).filter_by(username=self.name)
            self.id = sql.session.scalar(mine)


@pytest.fixture(scope="module")
def stores(request, tmp_path_factory):
    """Yield an application on stores that the workers of a module share."""
    folder = tmp_path_factory.mktemp("jobs")
    kept = {request.module.FOLDER_SETTING: str(folder / "files")}
    with start_redis() as (_, url), temporary_app(folder, url, **kept) as app:
        yield app


@pytest.fixture
def service(stores):
    """Return that application; a test may have changed the address of the Redis client."""
    redis_store.init_app(stores)
    return stores


@pytest.fixture(scope="module")
def folder_of_files(request, stores):
    """Return the setting with which another process finds the files."""
    name = request.module.FOLDER_SETTING
    return {f"MYAPP_{name}": stores.config[name]}


@pytest.fixture(scope="module")
def shared_worker(stores, folder_of_files, tmp_path_factory):
    crew = SharedWorker(stores, tmp_path_factory.mktemp("workers"), **folder_of_files)
    yield crew
    redis_store.init_app(stores)
    crew.stop()


@pytest.fixture
def crew(service, shared_worker):
    return shared_worker


@pytest.fixture
def at_work(crew):
    """Return a worker with two processes."""
    return crew.get_worker()
