"""The contenders: their applications, and the servers that run them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean
from typing import Callable, NamedTuple

import orjson
from dataset import DEVICES, ORIGIN, SECRET
from load import drive, encode_request, private_memory, tree

from myapp.core.processes import spawn
from support.databases import free_port

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent

WORKERS = 2
TIMEOUT_SECONDS = 30  # of a start and a stop


class Contender(NamedTuple):
    """A framework or a version of the service to measure.

    `module`: its application. `asgi`: whether that is an ASGI application. `page`: the
    query for 50 items. `items`: their key in the response. `total`: returns their number
    from it. `settings`: its environment. `root`: the folder of `module`.
    """

    title: str
    module: str
    asgi: bool = False
    page: str = "per_page=50"
    items: str = "items"
    total: Callable = lambda response: response["meta"]["total"]
    settings: dict = {}
    root: Path = ROOT


PRODUCTION = {
    "FLASK_CONFIG": "production",
    "MYAPP_SECRET_KEY": SECRET,
    "MYAPP_JWT_SECRET_KEY": SECRET,
    "MYAPP_CORS_ORIGINS": ORIGIN,
}
WITH_LIMITS = {
    "MYAPP_USE_RATE_LIMITS": "1",
    "MYAPP_RATE_LIMIT": "1000000000 per minute",
}
CONTENDERS = {
    "ours": Contender("this service", "null_view:app", settings=PRODUCTION),
    "counted": Contender(
        "this service, rate limits on",
        "null_view:app",
        settings=PRODUCTION | WITH_LIMITS,
    ),
    "fastapi": Contender(
        "FastAPI, as its full-stack template",
        "peers.fastapi_sync:app",
        asgi=True,
        page="limit=50",
        items="data",
        total=lambda response: response["count"],
    ),
    "fastapi-async": Contender(
        "FastAPI, async SQLAlchemy",
        "peers.fastapi_async:app",
        asgi=True,
        page="limit=50",
        items="data",
        total=lambda response: response["count"],
    ),
    "litestar": Contender(
        "Litestar, async SQLAlchemy",
        "peers.litestar_async:app",
        asgi=True,
        page="limit=50",
        total=lambda response: response["total"],
    ),
    "drf": Contender(
        "Django REST Framework",
        "peers.drf.api:app",
        page="limit=50",
        items="results",
        total=lambda response: response["count"],
    ),
    "naive": Contender(
        "Flask-RESTX, written naively",
        "peers.flask_naive:app",
        total=lambda response: response["total"],
    ),
    "limit": Contender("the limit: bare WSGI and the driver", "peers.limit:app"),
}
OWN = "ours", "beside", "counted"


def uwsgi_command(module, path):
    return [
        str(Path(sys.executable).with_name("uwsgi")),
        *("--socket", path, "--chmod-socket=666"),
        *("--module", module, "--need-app"),
        *("--master", "--processes", str(WORKERS), "--die-on-term"),
    ]


def uvicorn_command(module, path):
    program = str(Path(sys.executable).with_name("uvicorn"))
    return [program, module, "--workers", str(WORKERS), "--uds", path]


class Server:
    """A running contender with its own database; `start_seconds` has one item per start."""

    def __init__(self, name, url, redis_url, folder, tokens, guests):
        self.name, self.contender = name, CONTENDERS[name]
        kind = "ours" if name in OWN else "limit" if name == "limit" else "peer"
        self.tokens = {account: result[kind] for account, result in tokens.items()}
        self.guests = list(guests)
        self.folder = Path(folder, name)
        self.folder.mkdir()
        self.socket = str(self.folder / "socket")
        self.host = f"127.0.0.1:{free_port()}"
        self.start_seconds, self.process = [], None
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join((str(self.contender.root), str(HERE))),
            "INSTANCE_PATH": str(self.folder),
            "DATABASE_URL": url,
            "REDIS_URL": redis_url,
            "SECRET_KEY": SECRET,
            **self.contender.settings,
        }
        if name in OWN:  # the folder of the shared metrics
            counts = self.folder / "metrics"
            self.environment["PROMETHEUS_MULTIPROC_DIR"] = str(counts)
            counts.mkdir()

    def start(self):
        """Wait for the first response."""
        command = (uvicorn_command if self.contender.asgi else uwsgi_command)(
            self.contender.module, self.socket
        )
        if self.name in OWN:
            command.append("--disable-logging")  # nginx writes a line
        start = time.perf_counter()
        with open(self.folder / "log", "ab") as log:
            self.process = spawn(
                command,
                cwd=self.contender.root,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        while drive(self.host, [self.request("GET", f"{DEVICES}1")]).statuses != {200}:
            is_late = time.perf_counter() - start > TIMEOUT_SECONDS
            if is_late or self.process.poll() is not None:
                sys.exit(f"{self.name} does not start:\n{self.log_text()}")
            time.sleep(0.005)
        self.start_seconds.append(time.perf_counter() - start)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        Path(self.socket).unlink(missing_ok=True)

    def log_text(self):
        """Return the end of the log."""
        return (self.folder / "log").read_text()[-5000:]

    def request(self, verb, path, body=None, account="reader", **headers):
        """Return a request as bytes, with the credentials of `account`."""
        headers = {name.replace("_", "-"): result for name, result in headers.items()}
        if account:
            headers.setdefault("Authorization", f"Bearer {self.tokens[account]}")
        data = orjson.dumps(body) if body is not None else b""
        return encode_request(
            verb, path, self.host, {"Origin": ORIGIN, **headers}, data
        )

    def memory(self):
        """Return the mean private memory of a worker in megabytes.

        Workers are the processes without children, except helpers of multiprocessing.
        """
        workers = [
            pid
            for pid in tree(self.process.pid)
            if len(tree(pid)) == 1
            and b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        return mean(private_memory(pid) for pid in workers) / 2**20
