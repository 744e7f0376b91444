"""The service beside its peers: what one request costs each of them, call by call.

    make bench                                   everything: a quarter of an hour
    python bench/compare_frameworks.py --only ours,limit --calls get,page --rounds 3
    python bench/compare_frameworks.py --smoke      does it still run? A few seconds

    --only      contenders, see CONTENDERS      --databases  sqlite,postgresql
    --calls     calls, see CALLS                --rounds, --requests   how many
    --beside    a commit of the service, or a folder with one: what did a change bring?
    --soak      so many requests to us alone, to see whether memory grows
    --profile   one call to us alone, whose flame graph is then in profile.svg

Each contender is a server of two processes behind the same nginx, on a copy of the same
database of 100,000 devices, with one line of log a request. What we add in production is
on. They take turns of 50 requests over four connections, in random order, so that noise
hits all alike; a round is some hundred requests of each kind to each. What counts is CPU:
user and system time of the server's process tree, without nginx, the database and whoever
asks. Given are the median of the rounds and, behind it, its quartiles; a ratio is the
median of the rounds' ratios. The tables are Markdown; progress goes to stderr.
"""

import argparse
import atexit
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from csv import DictReader
from datetime import timedelta
from itertools import cycle, islice
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Callable, NamedTuple
from uuid import uuid4

import orjson

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from default_config import Config  # noqa: E402
from flask_migrate import upgrade  # noqa: E402
from joserfc import jwt  # noqa: E402
from joserfc.jwk import OctKey  # noqa: E402
from sqlalchemy import create_engine, text  # noqa: E402

from load import (  # noqa: E402
    BODY,
    cpu,
    drive,
    private_memory,
    request,
    system_cpu,
    tree,
)
from myapp import create_app  # noqa: E402
from myapp.auth.models import Session  # noqa: E402
from myapp.core.data.embedded_redis import start_redis  # noqa: E402
from myapp.core.data.models.columns import now  # noqa: E402
from myapp.core.data.session import sql, unit_of_work  # noqa: E402
from myapp.core.processes import spawn  # noqa: E402
from myapp.core.security.tokens import ACCESS, Tokens  # noqa: E402
from myapp.core.settings import database_uri  # noqa: E402
from myapp.devices.models import Device  # noqa: E402
from myapp.roles.models import Role  # noqa: E402
from myapp.users.models import User  # noqa: E402
from support.databases import free_port, install, postgresql  # noqa: E402

WORKERS = 2
PATIENCE = 30  # seconds to start, and to end
STARTS = 3
AT_ONCE = 50  # requests until it is the next one's turn
PROFILED = 10  # seconds
SECRET = "known to everybody, good for nothing but a benchmark"
DAY = 24 * 60 * 60
ORIGIN = "https://app.example.org"
PASSWORD = "green fingers"
DEVICES = "/api/v1/devices/"

# Who owns how many devices. The ids of the first one's are 1 to 1,000.
OWNERS = {"reader": 1_000, "collector": 60_000, "neighbour": 39_000, "writer": 0}
READ = range(1, OWNERS["reader"] + 1)
NOT_MINE = range(OWNERS["reader"] + 1, OWNERS["collector"])
GUESTS = 8  # accounts in a round that come for the first time

# Contenders


class Contender(NamedTuple):
    """Who takes part.

    `module`: its application. `asgi`: whether it speaks that. `page`: the query for 50
    items. `items`: where they stand in the answer. `total`: finds their number in it.
    `settings`: what it finds in its environment. `root`: where it looks for `module`.
    """

    title: str
    module: str
    asgi: bool = False
    page: str = "per_page=50"
    items: str = "items"
    total: Callable = lambda told: told["meta"]["total"]
    settings: dict = {}
    root: Path = ROOT


ALL_ON = {
    "FLASK_CONFIG": "production",
    "MYAPP_SECRET_KEY": SECRET,
    "MYAPP_JWT_SECRET_KEY": SECRET,
    "MYAPP_CORS_ORIGINS": ORIGIN,
}
COUNTED = {"MYAPP_USE_RATE_LIMITS": "1", "MYAPP_RATE_LIMIT": "1000000000 per minute"}
CONTENDERS = {
    "ours": Contender("this service", "null_view:app", settings=ALL_ON),
    "counted": Contender(
        "this service, rate limits on", "null_view:app", settings=ALL_ON | COUNTED
    ),
    "fastapi": Contender(
        "FastAPI, as its full-stack template",
        "peers.fastapi_sync:app",
        asgi=True,
        page="limit=50",
        items="data",
        total=lambda told: told["count"],
    ),
    "fastapi-async": Contender(
        "FastAPI, async SQLAlchemy",
        "peers.fastapi_async:app",
        asgi=True,
        page="limit=50",
        items="data",
        total=lambda told: told["count"],
    ),
    "litestar": Contender(
        "Litestar, async SQLAlchemy",
        "peers.litestar_async:app",
        asgi=True,
        page="limit=50",
        total=lambda told: told["total"],
    ),
    "drf": Contender(
        "Django REST Framework",
        "peers.drf.api:app",
        page="limit=50",
        items="results",
        total=lambda told: told["count"],
    ),
    "naive": Contender(
        "Flask-RESTX, written naively",
        "peers.flask_naive:app",
        total=lambda told: told["total"],
    ),
    "limit": Contender("the limit: bare WSGI and the driver", "peers.limit:app"),
}
OURS = "ours", "beside", "counted"


def uwsgi(module, path):
    return [
        str(Path(sys.executable).with_name("uwsgi")),
        *("--socket", path, "--chmod-socket=666"),
        *("--module", module, "--need-app"),
        *("--master", "--processes", str(WORKERS), "--die-on-term"),
    ]


def uvicorn(module, path):
    program = str(Path(sys.executable).with_name("uvicorn"))
    return [program, module, "--workers", str(WORKERS), "--uds", path]


class Server:
    """A contender that runs on a database of its own; `first` is the seconds that each
    start took until the first answer."""

    def __init__(self, name, url, redis_url, folder, tokens, guests):
        self.name, self.contender = name, CONTENDERS[name]
        kind = "ours" if name in OURS else "limit" if name == "limit" else "peer"
        self.tokens = {account: told[kind] for account, told in tokens.items()}
        self.guests = list(guests)
        self.folder = Path(folder, name)
        self.folder.mkdir()
        self.socket = str(self.folder / "socket")
        self.host = f"127.0.0.1:{free_port()}"
        self.first, self.process = [], None
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join((str(self.contender.root), str(HERE))),
            "INSTANCE_PATH": str(self.folder),
            "DATABASE_URL": url,
            "REDIS_URL": redis_url,
            "SECRET_KEY": SECRET,
            **self.contender.settings,
        }
        if name in OURS:  # where its workers count together
            counts = self.folder / "metrics"
            self.environment["PROMETHEUS_MULTIPROC_DIR"] = str(counts)
            counts.mkdir()

    def start(self):
        """Return when it answers."""
        command = (uvicorn if self.contender.asgi else uwsgi)(
            self.contender.module, self.socket
        )
        if self.name in OURS:
            command.append("--disable-logging")  # it writes a line itself
        began = time.perf_counter()
        with open(self.folder / "log", "ab") as log:
            self.process = spawn(
                command,
                cwd=self.contender.root,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        while drive(self.host, [self.ask("GET", f"{DEVICES}1")]).statuses != {200}:
            late = time.perf_counter() - began > PATIENCE
            if late or self.process.poll() is not None:
                sys.exit(f"{self.name} does not start:\n{self.told()}")
            time.sleep(0.005)
        self.first.append(time.perf_counter() - began)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        Path(self.socket).unlink(missing_ok=True)

    def told(self):
        """The end of its log."""
        return (self.folder / "log").read_text()[-5000:]

    def ask(self, verb, path, body=None, account="reader", **headers):
        """A request as it goes over the wire, signed in as `account`."""
        headers = {name.replace("_", "-"): told for name, told in headers.items()}
        if account:
            headers.setdefault("Authorization", f"Bearer {self.tokens[account]}")
        data = orjson.dumps(body) if body is not None else b""
        return request(verb, path, self.host, {"Origin": ORIGIN, **headers}, data)

    def memory(self):
        """Private megabytes of a worker: the mean of those that answer, which are the
        ones without children, and without what multiprocessing keeps beside them."""
        workers = [
            pid
            for pid in tree(self.process.pid)
            if len(tree(pid)) == 1
            and b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        return mean(private_memory(pid) for pid in workers) / 2**20


# Calls: each takes a Server and a number, and returns requests.


def one_device(server, number):
    return [
        server.ask("GET", f"{DEVICES}{id}") for id in random.choices(READ, k=number)
    ]


def first_page(server, number):
    return [server.ask("GET", f"{DEVICES}?{server.contender.page}")] * number


def registering(server, number):
    return [server.ask("POST", DEVICES, BODY, "writer")] * number


def registering_once(server, number):
    return [
        server.ask("POST", DEVICES, BODY, "writer", Idempotency_Key=uuid4().hex)
        for _ in range(number)
    ]


def tag_of(server, id):
    return drive(server.host, [server.ask("GET", f"{DEVICES}{id}")]).tag


def known_device(server, number):
    known = [(id, tag_of(server, id)) for id in READ[:20]]
    return [
        server.ask("GET", f"{DEVICES}{id}", If_None_Match=tag)
        for id, tag in islice(cycle(known), number)
    ]


def replacing(server, number):
    body = BODY | {"name": f"Thermostat {uuid4()}"}
    return [
        server.ask("PUT", f"{DEVICES}{id}", body, If_Match=tag_of(server, id))
        for id in random.sample(READ[20:], number)  # the others keep their tags
    ]


def deep_page(server, number):
    before = server.ask("GET", f"{DEVICES}?per_page=50&page=999", account="collector")
    link = orjson.loads(drive(server.host, [before]).body)["meta"]["next"]
    path = link[link.index(DEVICES) :]
    return [server.ask("GET", path, account="collector")] * number


def heartbeat(server, number):
    body = {"battery": 87, "signal": -61}
    beats = [server.ask("PUT", f"/api/v1/presence/{id}", body) for id in READ[:20]]
    drive(server.host, beats)  # none is the first
    return list(islice(cycle(beats), number))


def as_user(username):
    credentials = b64encode(f"{username}:{PASSWORD}".encode()).decode()
    return f"Basic {credentials}"


def first_password(server, number):
    guests = [server.guests.pop() for _ in range(GUESTS)]
    return [
        server.ask("GET", "/api/v1/account", Authorization=as_user(guest))
        for guest in guests
    ]


def password(server, number):
    requests = [
        server.ask("GET", f"{DEVICES}{id}", Authorization=as_user("reader"))
        for id in random.choices(READ, k=number)
    ]
    drive(server.host, requests[:20])  # by now each worker has seen it
    return requests


def wrong_body(server, number):
    return [server.ask("POST", DEVICES, {"name": "", "colour": "red"})] * number


def not_mine(server, number):
    return [
        server.ask("GET", f"{DEVICES}{id}") for id in random.choices(NOT_MINE, k=number)
    ]


def documents(server, number):
    return [server.ask("GET", "/openapi.json", account=None)] * number


def nothing(server, number):
    return [server.ask("GET", "/nothing", account=None)] * number


class Call(NamedTuple):
    """What is measured.

    `requests`: makes so many, for a Server. `status`: of each answer. `holds`: whether the
    JSON of an answer, to this Contender, is as it must be.
    """

    title: str
    requests: Callable
    status: int
    holds: Callable = lambda told, contender: True


def is_device(told, _):
    return told["location"] and told["serial_number"] and told["created_at"]


def is_page(told, contender):
    return len(told[contender.items]) == 50 and (
        contender.total(told) == OWNERS["reader"]
    )


# Everybody answers these three.
SHARED = {
    "get": Call("GET one", one_device, 200, is_device),
    "page": Call("a page of 50, with its total", first_page, 200, is_page),
    "post": Call("POST", registering, 201, is_device),
}
CALLS = SHARED | {
    "known": Call("GET one, If-None-Match", known_device, 304),
    "deep": Call(
        "page 1,000, by its link", deep_page, 200, lambda t, _: t["meta"]["prev"]
    ),
    "once": Call("POST, with Idempotency-Key", registering_once, 201, is_device),
    "put": Call("PUT, with If-Match", replacing, 200, is_device),
    "heartbeat": Call("a heartbeat", heartbeat, 200, lambda told, _: told["online"]),
    "first-basic": Call("first call with a password", first_password, 200),
    "basic": Call("GET one, hundredth call with a password", password, 200, is_device),
    "422": Call("422", wrong_body, 422, lambda told, _: len(told["errors"]) == 6),
    "404": Call("404", not_mine, 404, lambda told, _: told["request_id"]),
    "openapi": Call("/openapi.json", documents, 200, lambda told, _: told["paths"]),
    "nothing": Call("an empty view", nothing, 200),
}
# What we hold ourselves to: one cost in relation to another.
RATIOS = {
    "304 to 200": (("ours", "known"), ("ours", "get")),
    "a heartbeat to GET one": (("ours", "heartbeat"), ("ours", "get")),
    "the hundredth password to a token": (("ours", "basic"), ("ours", "get")),
    "/openapi.json to an empty view": (("ours", "openapi"), ("ours", "nothing")),
    "rate limits, on to off": (("counted", "get"), ("ours", "get")),
}


# The stage


def furnish(url, guests):
    """Fill an empty database; returns the tokens of its accounts, for us."""
    uri = database_uri(url)
    app = create_app("testing", SQLALCHEMY_DATABASE_URI=uri, REDIS_URL="unix:///no")
    logging.getLogger("myapp").setLevel(logging.WARNING)
    issuer = Tokens(SECRET, (), Config.JWT_ISSUER)
    with (ROOT / "data/smart-devices.csv").open(encoding="utf-8", newline="") as file:
        bodies = [Device.body.check(row) for row in islice(DictReader(file), 1000)]
    with app.app_context():
        upgrade()
        with unit_of_work():
            Role.build_in()
            accounts = {
                name: sql.session.get(User, User.create(name, PASSWORD).id)
                for name in [*OWNERS, *guests]
            }
            for name, number in OWNERS.items():
                owner = accounts[name].id
                for _ in range(0, number, len(bodies)):
                    Device.create_many(bodies, owner_id=owner)
            tokens = {name: tokens_of(accounts[name], issuer) for name in OWNERS}
        if sql.engine.dialect.name == "postgresql":
            with sql.engine.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.execute(text("VACUUM ANALYZE"))
        sql.engine.dispose()
    return tokens


def tokens_of(account, issuer):
    """What an account signs in with: here, at a peer, and at the limit."""
    session = Session.create(
        user_id=account.id,
        generation=account.generation,
        address="127.0.0.1",
        agent="bench",
        expires_at=now() + timedelta(seconds=DAY),
    )
    began = int(time.time())
    claims = {
        "sub": str(account.id),
        "iat": began,
        "exp": began + DAY,
        "jti": uuid4().hex,
        "type": "access",  # Flask-JWT-Extended wants to know
        "token_type": "access",  # Simple JWT does
    }
    return {
        "ours": issuer.issue(ACCESS, account.id, session.id, DAY),
        "peer": jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET)),
        "limit": str(account.id),
    }


@contextmanager
def sqlite(folder):
    yield f"sqlite:///{folder}/base.sqlite3"


DATABASES = {"sqlite": sqlite, "postgresql": postgresql}


def copied(url, name):
    """A copy of the database that nobody uses now; returns its address."""
    copy = f"{url.rpartition('/')[0]}/{name}"
    if url.startswith("sqlite:"):
        shutil.copyfile(
            *(address.removeprefix("sqlite:///") for address in (url, copy))
        )
    else:
        template = url.rpartition("/")[2]
        # One cannot copy the database that one is in.
        elsewhere = f"{url.rpartition('/')[0]}/template1"
        engine = create_engine(database_uri(elsewhere), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE {template}'))
        engine.dispose()
    return copy


NGINX_PATH = "/usr/sbin:/usr/bin:/usr/local/bin"
NGINX = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    {servers}
}}
"""
BEFORE = {
    False: """
    server {{
        listen {host};
        location / {{
            include /etc/nginx/uwsgi_params;
            uwsgi_pass unix:{socket};
        }}
    }}
    """,
    True: """
    upstream {name} {{
        server unix:{socket};
        keepalive 16;
        keepalive_timeout 4s;  # uvicorn hangs up after five
    }}
    server {{
        listen {host};
        location / {{
            proxy_pass http://{name};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
        }}
    }}
    """,
}


@contextmanager
def nginx(servers, folder):
    """The process that stands before them all while the block lasts."""
    fronts = "".join(
        BEFORE[server.contender.asgi].format(
            host=server.host, socket=server.socket, name=server.name
        )
        for server in servers
    )
    configuration = Path(folder, "nginx.conf")
    configuration.write_text(NGINX.format(folder=folder, servers=fronts))
    program = shutil.which("nginx", path=NGINX_PATH)
    process = spawn([program, "-c", configuration, "-e", f"{folder}/error.log"])
    try:
        while process.poll() is None:
            if all(listens(server.host) for server in servers):
                break
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


def listens(host):
    name, port = host.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((name, int(port))) == 0


# The rounds


class Cost(NamedTuple):
    """What a round cost: milliseconds of CPU a request (the server's, nginx's), the
    kernel's share of the server's, requests a second, and the latencies in ms."""

    cpu: float
    system: float
    nginx: float
    throughput: float
    latencies: list


def play(server, call, requests, front):
    """One turn; returns its Round, and the seconds of CPU that it took: the server's, the
    kernel's part in these, nginx'. Exits where an answer is wrong."""
    pids = tree(server.process.pid)
    before = cpu(pids), system_cpu(pids), cpu([front.pid])
    came = drive(server.host, requests)
    after = cpu(pids), system_cpu(pids), cpu([front.pid])
    if tree(server.process.pid) != pids:
        sys.exit(f"{server.name} lost a worker:\n{server.told()}")
    right = came.statuses == {call.status} and (
        not came.body or call.holds(orjson.loads(came.body), server.contender)
    )
    if not right:
        sys.exit(f"{server.name}, {call.title}: {came.last}\n{server.told()}")
    return came, [b - a for a, b in zip(before, after)]


def a_request(turns):
    """The Cost of a round of these turns."""
    latencies = [1000 * seconds for came, _ in turns for seconds in came.latencies]
    number = len(latencies)
    spent = [
        1000 * sum(parts) / number for parts in zip(*(spent for _, spent in turns))
    ]
    return Cost(*spent, number / sum(came.wall for came, _ in turns), latencies)


@contextmanager
def stage(database, names, guests, starts=1):
    """Yields the Servers, each after so many starts, and nginx' process."""
    with ExitStack() as stack:
        enter = stack.enter_context
        folder = enter(tempfile.TemporaryDirectory(prefix="bench-"))
        beside = enter(tempfile.TemporaryDirectory(prefix="bench-database-"))
        url = enter(DATABASES[database](beside))
        _, redis_url = enter(start_redis())
        guests = [f"guest{number}" for number in range(guests)]
        log(f"{database}: {sum(OWNERS.values()):,} devices")
        tokens = furnish(url, guests)
        servers = []
        for name in names:
            copy = copied(url, name)
            servers.append(Server(name, copy, redis_url, folder, tokens, guests))
        front = enter(nginx(servers, folder))
        for server in servers:
            log(f"{server.name} starts")
            for _ in range(starts - 1):
                server.start()
                server.stop()
            server.start()
            stack.callback(server.stop)
            server.fresh = server.memory()
        yield servers, front


def measure(database, names, calls, rounds, number):
    """Play all rounds; returns the servers, ended, and the Costs by contender and call."""
    costs = defaultdict(list)
    guests = GUESTS * (rounds + 1)
    with stage(database, names, guests, STARTS) as (servers, front):
        for turn in range(-1, rounds):
            log(f"round {turn + 1} of {rounds}")
            turns = defaultdict(list)
            waiting = {
                (server, name): call.requests(server, number)
                for server in servers
                for name, call in calls.items()
                if name in SHARED or server.name in OURS[:2]
            }
            while waiting:
                for (server, name), left in random.sample(
                    [*waiting.items()], len(waiting)
                ):
                    played = play(server, calls[name], left[:AT_ONCE], front)
                    turns[server.name, name].append(played)
                    waiting[server, name] = left[AT_ONCE:]
                waiting = {who: left for who, left in waiting.items() if left}
            if turn >= 0:  # the first round warms up
                for who, played in turns.items():
                    costs[who].append(a_request(played))
        for server in servers:
            server.grown = server.memory()
    return servers, costs


def soak(database, calls, number, total):
    """Print how the memory of a worker grows over `total` requests of all kinds."""
    print(f"\n### {database}, memory over {total:,} requests\n")
    print(row("requests", "MB a worker"))
    print(row("---:", "---:"))
    with stage(database, ["ours"], 0) as ((server,), front):
        done = 0
        for tenth in range(11):
            while done < total * tenth / 10:
                for call in calls.values():
                    play(server, call, call.requests(server, number), front)
                    done += number
            print(row(f"{done:,}", f"{server.memory():.1f}"), flush=True)


def profile(database, call, number):
    """Write profile.svg: a flame graph of what our workers do for one call."""
    with stage(database, ["ours"], 0) as ((server,), front):
        play(server, call, call.requests(server, number), front)
        command = [
            *(
                str(Path(sys.executable).with_name("py-spy")),
                "record",
                "--subprocesses",
            ),
            *("--pid", str(server.process.pid), "--output", "profile.svg"),
            *("--rate", "200", "--duration", str(PROFILED)),
        ]
        recorder = subprocess.Popen(command)
        while recorder.poll() is None:
            play(server, call, call.requests(server, number), front)
    sys.exit(recorder.returncode)


def log(message):
    print(message, file=sys.stderr, flush=True)


# The report


def report(database, servers, costs, calls):
    """Print the tables."""
    shared = [name for name in calls if name in SHARED]
    print(f"\n### {database}, CPU milliseconds a request\n")
    print(row("", *(CALLS[name].title for name in shared)))
    print(row("---", *["---:" for _ in shared]))
    for server in servers:
        cells = []
        for name in shared:
            mine, ours = costs[server.name, name], costs[servers[0].name, name]
            ratio = median(one.cpu / other.cpu for one, other in zip(mine, ours))
            cells.append(f"{median(cost.cpu for cost in mine):.3f} (×{ratio:.2f})")
        print(row(server.contender.title, *cells))
    print(f"\n× is the ratio to {servers[0].contender.title}.\n")
    print(f"### {database}, in full\n")
    titles = (
        "CPU ms",
        "quartiles",
        "user",
        "system",
        "nginx",
        "req/s",
        "p50 ms",
        "p99 ms",
    )
    print(row("call", "of", *titles))
    print(row("---", "---", *["---:" for _ in titles]))
    for name, call in calls.items():
        for server in servers:
            if (server.name, name) in costs:
                print(
                    row(
                        call.title,
                        server.contender.title,
                        *cells_of(costs[server.name, name]),
                    )
                )
    print(f"\n### {database}, memory and start\n")
    print(row("", "MB a worker", "after the rounds", "first answer, s"))
    print(row("---", "---:", "---:", "---:"))
    for server in servers:
        first = f"{median(server.first):.2f}"
        title = server.contender.title
        print(row(title, f"{server.fresh:.0f}", f"{server.grown:.0f}", first))
    if ("ours", "get") not in costs:
        return
    print(f"\n### {database}, one to another\n")
    print(row("", "ratio", "quartiles"))
    print(row("---", "---:", "---:"))
    for title, (one, other) in RATIOS.items():
        if one in costs and other in costs:
            pairs = zip(costs[one], costs[other])
            low, middle, high = spread([a.cpu / b.cpu for a, b in pairs])
            print(row(title, f"{middle:.2f}", f"{low:.2f} to {high:.2f}"))


def spread(numbers):
    """Their quartiles."""
    return quantiles(numbers, n=4, method="inclusive") if numbers[1:] else numbers * 3


def cells_of(costs):
    """What the rounds of one call cost, as text."""
    spent = [cost.cpu for cost in costs]
    low, middle, high = spread(spent)
    system = mean(cost.system for cost in costs) / mean(spent)
    waits = sorted(wait for cost in costs for wait in cost.latencies)
    return [
        f"{middle:.3f}",
        f"{low:.3f} to {high:.3f}",
        f"{middle * (1 - system):.3f}",
        f"{middle * system:.3f}",
        f"{median(cost.nginx for cost in costs):.3f}",
        f"{median(cost.throughput for cost in costs):,.0f}",
        f"{waits[len(waits) // 2]:.2f}",
        f"{waits[len(waits) * 99 // 100]:.2f}",
    ]


def row(*cells):
    return f"| {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=names_in(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--calls", type=names_in(CALLS), default=list(CALLS))
    parser.add_argument(
        "--databases", type=names_in(DATABASES), default=list(DATABASES)
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--soak", type=int)
    parser.add_argument("--profile", choices=[*CALLS.keys() - {"first-basic"}])
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--beside")
    wanted = parser.parse_args()
    if wanted.beside:
        CONTENDERS["beside"] = CONTENDERS["ours"]._replace(
            title=f"the service at {wanted.beside}", root=checkout(wanted.beside)
        )
        wanted.only.insert(1, "beside")
    if wanted.smoke:
        wanted.only, wanted.databases = ["ours", "limit"], ["sqlite"]
        wanted.rounds, wanted.requests = 1, 20
    install("nginx-light", shutil.which("nginx", path=NGINX_PATH))
    calls = {name: CALLS[name] for name in wanted.calls}
    for database in wanted.databases:
        if wanted.profile:
            profile(database, CALLS[wanted.profile], wanted.requests)
        elif wanted.soak:
            calls.pop("first-basic", None)  # there are not so many guests
            soak(database, calls, wanted.requests, wanted.soak)
        else:
            plan = wanted.only, calls, wanted.rounds, wanted.requests
            report(database, *measure(database, *plan), calls)


def checkout(revision):
    """Return the folder of that commit's files; a path is such a folder itself."""
    if Path(revision).is_dir():
        return Path(revision).resolve()
    folder = tempfile.TemporaryDirectory(prefix="bench-beside-")
    atexit.register(folder.cleanup)
    archive = subprocess.run(
        ["git", "archive", revision], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    subprocess.run(["tar", "-x", "-C", folder.name], input=archive.stdout, check=True)
    return Path(folder.name)


def names_in(known):
    """A parser of names with commas between."""

    def parse(text):
        names = text.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"{unknown} not in {list(known)}")
        return names

    return parse


if __name__ == "__main__":
    main()
