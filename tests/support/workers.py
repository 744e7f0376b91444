"""The service as production runs it: uWSGI, a master and two workers.

A killed worker is restarted. The master and all its processes end with the tests,
however these end.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Barrier, Event, Thread
from typing import NamedTuple
from uuid import uuid4

from conftest import close_stores, create_tables_and_accounts, empty_database
from myapp import create_app
from myapp.core.processes import PR_SET_PDEATHSIG, spawn
from support import ROOT
from support.features import SERVED
from support.waiting import TIMEOUT_SECONDS, wait_until

WORKER_COUNT = 2
CALLS_PER_LIFE = 30  # at least: a new worker compiles its statements again
NOT_OURS = re.compile("MYAPP_|FLASK_|PROMETHEUS_|(REDIS|DATABASE)_URL$")
# uWSGI ignores SIGTERM while it loads the application, and would outlive the tests.
UWSGI = f"""
import ctypes, sys, pyuwsgi
if sys.platform == "linux":
    ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG}, {signal.SIGKILL:d})
pyuwsgi.run()
"""
# The exceptions of http.client when a worker dies during a request.
BROKEN = (OSError, HTTPException)
WITH_SAMPLES = os.pathsep.join(
    map(str, (ROOT / "tests/support/mount_samples", ROOT / "tests", ROOT))
)


class WorkerResponse(NamedTuple):
    """A response, and the process id of the worker that sent it."""

    status: int
    headers: object
    body: bytes
    worker: int

    @property
    def json(self):
        return json.loads(self.body)


class Service:
    """A running service; `log` is the path of its log file."""

    def __init__(self, process, folder):
        self.process = process
        self.log = folder / "log"
        self._stats = str(folder / "stats")
        self.address = None

    def start(self):
        """Return when every worker waits for calls, and the service is ready."""
        wait_until(lambda: self.process.poll() is not None or len(self.idle()))
        (listening,) = self.stats()["sockets"]
        self.address = listening["name"]
        ready = self.call("GET", "/status/ready")
        assert ready.status == 200, ready.body

    def stats(self):
        """Return the statistics of uWSGI."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self._stats)
            return json.load(connection.makefile("rb"))

    def idle(self):
        """Return the process ids of the workers if all of them are idle, else ()."""
        with suppress(OSError, ValueError):
            workers = self.stats()["workers"]
            if all(w["pid"] and w["status"] == "idle" for w in workers):
                return tuple(w["pid"] for w in workers)
        return ()

    def workers(self):
        """Return the process ids of the workers."""
        return [worker["pid"] for worker in self.stats()["workers"]]

    def call(self, verb, path, body=None, **headers):
        """Return the WorkerResponse to a call over a new connection; raise one of
        BROKEN."""
        headers = {name.replace("_", "-"): text for name, text in headers.items()}
        headers["Content-Type"] = "application/json"
        with closing(
            HTTPConnection(self.address, timeout=TIMEOUT_SECONDS)
        ) as connection:
            connection.request(verb, path, body and json.dumps(body), headers)
            answer = connection.getresponse()
            body = answer.read()
        worker = int(answer.headers["X-Worker"])
        return WorkerResponse(answer.status, answer.headers, body, worker)

    def sign_in(self, username, password):
        """`call` with an access token of this account's."""
        credentials = {"username": username, "password": password}
        answer = self.call("POST", "/api/v1/auth/login", credentials)
        assert answer.status == 200, answer.body
        return partial(self.call, Authorization=f"Bearer {answer.json['access_token']}")

    @contextmanager
    def alone(self, worker):
        """Let this worker process every request while the block lasts."""
        others = [other for other in self.workers() if other != worker]
        for other in others:
            os.kill(other, signal.SIGSTOP)
        try:
            yield
        finally:
            for other in others:
                os.kill(other, signal.SIGCONT)

    def lose_worker(self):
        """Kill a worker; returns when another one has taken its place."""
        lost = self.workers()[0]
        os.kill(lost, signal.SIGKILL)
        wait_until(lambda: self.idle() and lost not in self.workers())

    @contextmanager
    def losing_workers(self, every):
        """Kill a worker every so many seconds while the block lasts, if one has answered
        CALLS_PER_LIFE: however slow the machine, work goes on. Afterwards all are there
        again.
        """
        lost, over = [], Event()

        def kill():
            while not over.wait(every):
                workers = self.stats()["workers"]
                old = [
                    w["pid"] for w in workers if w["delta_requests"] >= CALLS_PER_LIFE
                ]
                for worker in [pid for pid in old if pid not in lost][:1]:
                    os.kill(worker, signal.SIGKILL)
                    lost.append(worker)

        killer = Thread(target=kill)
        killer.start()
        try:
            yield
        finally:
            over.set()
            killer.join()
        wait_until(lambda: self.idle() and not set(lost) & set(self.workers()))


def at_once(calls):
    """Call these functions at the same moment and return their results."""
    barrier = Barrier(len(calls))

    def run(call):
        barrier.wait(TIMEOUT_SECONDS)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@contextmanager
def temporary_app(folder, redis_url="unix:///no", **settings):
    """Yield an application with the accounts, on a database of its own.

    `settings`: also `features`, by default with the sample features.
    """
    with empty_database(folder) as uri:
        stores = {"SQLALCHEMY_DATABASE_URI": uri, "REDIS_URL": redis_url}
        app = create_app("testing", **{"features": SERVED, **stores, **settings})
        create_tables_and_accounts(app)
        try:
            yield app
        finally:
            close_stores(app)


@contextmanager
def run_uwsgi(app, redis_url, **environment):
    """Run the Service on the database of `app` while the block lasts.

    `environment`: settings, as MYAPP_RATE_LIMIT="5 per hour".
    """
    with tempfile.TemporaryDirectory(prefix="workers-") as folder:
        folder = Path(folder)
        environment = production_environment(
            app, folder, REDIS_URL=redis_url, **environment
        )
        with open(folder / "log", "wb") as log:
            process = spawn(
                uwsgi_command(folder),
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        service = Service(process, folder)
        try:
            service.start()
            yield service
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(TIMEOUT_SECONDS)
            print(service.log.read_text())  # pytest shows it where a test has failed


def production_environment(app, folder, **settings):
    """Return the environment of a process that uses the stores of `app` in production.

    It mounts the sample features, too, unless PYTHONPATH is empty.
    """
    kept = {name: text for name, text in os.environ.items() if not NOT_OURS.match(name)}
    return kept | {
        "FLASK_CONFIG": "production",
        "PYTHONPATH": WITH_SAMPLES,
        "INSTANCE_PATH": str(folder),
        "DATABASE_URL": app.config["SQLALCHEMY_DATABASE_URI"],
        "REDIS_URL": app.config["REDIS_URL"],
        "MYAPP_SECRET_KEY": uuid4().hex,
        "MYAPP_JWT_SECRET_KEY": uuid4().hex,
        **settings,
    }


def uwsgi_command(folder):
    """Return the command line of uWSGI on a free port; each response names its worker."""
    return [
        *(sys.executable, "-c", UWSGI),
        *("--http-socket", "127.0.0.1:0"),
        *("--module", "wsgi:app", "--need-app"),
        *("--master", "--processes", str(WORKER_COUNT)),
        *("--die-on-term", "--no-orphans"),
        *("--forkbomb-delay", "0"),  # we do kill many
        *("--stats", str(folder / "stats")),
        *("--route-run", "addheader:X-Worker: ${uwsgi[pid]}"),
        "--disable-logging",
    ]
