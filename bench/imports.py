"""What it costs to register devices from a file, beside single POSTs and beside the limit.

    python bench/imports.py [sqlite|postgresql|mariadb] [rows]    1,000,000 by default
    python bench/imports.py --smoke              does it still run? Ten seconds

The database is empty each time, or nearly so, and the rows are the same, in no order.
`import` is the service as an operator has it, uWSGI and `flask worker`, both over their
sockets: rows a second are from the first byte of the upload to `done`, a tenth as many
rows first, then all; CPU seconds are the worker's. `POST` is one after the other over a
connection that stays open; CPU seconds are the server's. `limit` is the driver alone, with
tuples that are in memory: COPY on PostgreSQL, executemany elsewhere, a transaction for
each of the sizes.
Peak memory is that of the worker's largest process; `peak_growth` is how far the work
raised that of any, and the upload that of any of the web server's.

Then come POSTs of another account, with a pause after each, into the table with all these
rows: alone, and beside another import.
"""

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from threading import Thread
from uuid import uuid4

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from export import process_usage  # noqa: E402
from load import cpu, tree  # noqa: E402

from conftest import (  # noqa: E402
    PASSWORDS,
    close_stores,
    create_tables_and_accounts,
    empty_database,
)
from myapp import create_app  # noqa: E402
from myapp.core.data.embedded_redis import start_redis  # noqa: E402
from myapp.core.data.models.columns import now  # noqa: E402
from myapp.core.data.models.conditions import normalize_for_search  # noqa: E402
from myapp.core.data.session import sql  # noqa: E402
from myapp.core.processes import spawn  # noqa: E402
from myapp.devices.models import Device  # noqa: E402
from myapp.imports.tasks import TRANSACTION_ROWS  # noqa: E402
from support.databases import SERVERS, free_port  # noqa: E402

ROWS = 1_000_000
POSTS = 2_000
BESIDE = 100_000  # rows of the import that others write beside
MANY = 10_000  # rows in a large transaction
PAUSE = 0.01  # seconds between two POSTs beside an import
LOOK = 0.1  # seconds between two looks at how far an import is
PATIENCE = 30  # seconds to start, and to end
NAMES = tuple(Device.write_schema["properties"])
API = "/api/v1"


def main(database="sqlite", rows=ROWS, posts=POSTS, beside=BESIDE):
    with tempfile.TemporaryDirectory(prefix="imports-") as folder, ExitStack() as stack:
        server = SERVERS.get(database)
        url = server and stack.enter_context(server(folder))
        report(database, url, int(rows), posts, beside)


def report(database, url, rows, posts, beside):
    """Print the tables."""
    print(
        f"{database:<22}{'rows':>10}{'rows/s':>9}{'s of CPU':>10}{'peak MB':>9}"
        f"{'grown MB':>10}{'web, grown':>12}"
    )
    with service(url) as running:
        line("POST", posts, *measure_posts(running, posts))
        line("import", rows // 10, *measure_import(running, rows // 10))
    with service(url) as running:
        speed = line("import", rows, *measure_import(running, rows))
        limits = {}
        for size in (TRANSACTION_ROWS, MANY):
            limits[size] = line(
                f"limit, {size:,} at once", rows, *limit(url, rows, size)
            )
        ratios = (f"{speed / limits[size]:.2f} (of {size:,})" for size in limits)
        print(f"import to limit: {', '.join(ratios)}\n")
        print(f"{'POSTs, ms':<22}{'number':>10}{'median':>9}{'p95':>10}{'worst':>9}")
        waits(running, "alone", posts // 10)
        speed = waits(running, "beside an import", beside=beside)
        print(f"the import meanwhile: {speed:,.0f} rows/s")


def line(name, number, wall, seconds, *memory):
    speed = number / wall
    memory = "".join(f"{m:>{w}.1f}" for m, w in zip(memory, (9, 10, 12)))
    text = f"{name:<22}{number:>10,}{speed:>9,.0f}{seconds:>10.2f}{memory}"
    print(text, flush=True)
    return speed


def device(n):
    """The cells of a row: many names and serial numbers, few of all else, in no order."""
    mixed = n * 7919 % 1_000_003
    return (
        f"Thermostat {mixed}",
        f"Room {n % 50}",
        ("Thermostat", "Light", "Lock", "Camera", "Speaker")[mixed % 5],
        f"Acova TAFFETAS{mixed % 40}",
        f"ACOV-{mixed * 31 % 1_000_003:07}",
    )


# The service


class Service:
    """uWSGI and a worker, while they run; `call` asks as pythonista."""

    def __init__(self, folder, host, web, worker):
        self.folder, self.host, self.web, self.worker = folder, host, web, worker

    def connection(self):
        return closing(HTTPConnection(self.host, timeout=PATIENCE))

    def call(self, verb, path, body=None, **headers):
        """The status and the JSON of an answer, over a connection of its own."""
        with self.connection() as connection:
            return ask(connection, verb, path, body, headers)

    def token(self, name):
        """The headers of whoever is signed in as that account."""
        body = json.dumps({"username": name, "password": PASSWORDS[name]})
        _, response = self.call("POST", "/auth/login", body, **JSON)
        return {"Authorization": f"Bearer {response['access_token']}"}


JSON = {"Content-Type": "application/json"}


def ask(connection, verb, path, body, headers):
    connection.request(verb, API + path, body, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read() or "null")


@contextmanager
def service(url):
    """A Service on an empty database, both its own."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="imports-"))
        _, redis_url = stack.enter_context(start_redis())
        uri = stack.enter_context(empty_database(folder, url))
        app = create_app("testing", SQLALCHEMY_DATABASE_URI=uri, REDIS_URL=redis_url)
        create_tables_and_accounts(app)
        close_stores(app)
        host = f"127.0.0.1:{free_port()}"
        binaries = Path(sys.executable).parent
        web = [
            *(str(binaries / "uwsgi"), "--http11-socket", host),
            *("--module", "wsgi:app", "--need-app", "--disable-logging"),
            *("--master", "--processes", "2", "--die-on-term"),
        ]
        worker = [str(binaries / "flask"), "worker", "--concurrency", "1"]
        environment = {
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
            "FLASK_CONFIG": "production",
            "INSTANCE_PATH": folder,
            "DATABASE_URL": uri,
            "REDIS_URL": redis_url,
            "MYAPP_SECRET_KEY": uuid4().hex,
            "MYAPP_JWT_SECRET_KEY": uuid4().hex,
            "MYAPP_MAX_IMPORT_BYTES": str(2**40),
        }
        log = stack.enter_context(open(f"{folder}/log", "wb"))
        options = {"cwd": ROOT, "env": environment, "stdout": log, "stderr": log}
        processes = []
        for command in (web, worker):
            process = spawn(command, stdin=subprocess.DEVNULL, **options)
            stack.callback(process.wait, PATIENCE)
            stack.callback(os.killpg, process.pid, signal.SIGKILL)
            processes.append(process.pid)
        running = Service(folder, host, *processes)
        wait_until(lambda: ready(running), log.name)
        yield running


def ready(running):
    """Whether both answer."""
    try:
        with running.connection() as connection:
            connection.request("GET", "/status/ready")
            answer = connection.getresponse()
            data = json.loads(answer.read())
    except OSError:
        return False
    return answer.status == 200 and "ok" in data["worker"]


def wait_until(condition, log):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"The service does not start:\n{Path(log).read_text()[-5000:]}")
        time.sleep(0.1)


# What is measured


def measure_import(running, number):
    """Wall seconds, the worker's CPU seconds, its peak memory, and how far that has grown
    and that of the web server, in MB."""
    headers, file = running.token("pythonista"), csv_of(running, number)
    workers, servers = tree(running.worker), tree(running.web)
    for pid in (*workers, *servers):
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew
    idle, still = peaks(workers), peaks(servers)
    seconds, start = cpu(workers), time.perf_counter()
    id = upload(running, file, headers)
    web = peak_growth(peaks(servers), still)
    wait_for(running, id, number, headers)
    wall = time.perf_counter() - start
    high = peaks(workers)
    return wall, cpu(workers) - seconds, max(high), peak_growth(high, idle), web


def csv_of(running, number):
    """The path of a file with so many rows."""
    path = Path(running.folder, "devices.csv")
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(NAMES)
        rows.writerows(map(device, range(number)))
    return path


def upload(running, path, headers):
    """The id of the import that is made of this file."""
    size = {"Content-Type": "text/csv", "Content-Length": str(path.stat().st_size)}
    with path.open("rb") as file:
        status, response = running.call("POST", "/imports/", file, **headers, **size)
    assert status == 202, response
    return response["id"]


def wait_for(running, id, number, headers):
    """Return when all rows are registered."""
    values = {"status": "queued"}
    while values["status"] in ("queued", "running"):
        time.sleep(LOOK)
        _, values = running.call("GET", f"/imports/{id}", **headers)
    assert (values["status"], values["created"]) == ("done", number), values


def peaks(pids):
    """The most memory in MB that each of these processes has used."""
    return [process_usage(pid)[1] for pid in pids]


def peak_growth(peaks, before):
    """How far the one that grew most has grown."""
    return max(now - then for now, then in zip(peaks, before))


def measure_posts(running, number):
    """Wall seconds, and the server's CPU seconds."""
    headers, servers = running.token("engineer"), tree(running.web)
    with running.connection() as connection:
        post(connection, 0, headers)
        seconds, start = cpu(servers), time.perf_counter()
        for n in range(number):
            assert post(connection, n, headers) == 201
        return time.perf_counter() - start, cpu(servers) - seconds


def post(connection, n, headers):
    """The status of the answer."""
    body = json.dumps(dict(zip(NAMES, device(n))))
    return ask(connection, "POST", "/devices/", body, {**JSON, **headers})[0]


def limit(url, number, size):
    """Wall and CPU seconds of the driver alone, with `size` rows in a transaction."""
    with tempfile.TemporaryDirectory(prefix="imports-") as folder:
        with empty_database(folder, url) as uri:
            app = create_app(
                "testing", SQLALCHEMY_DATABASE_URI=uri, REDIS_URL="unix:///nowhere"
            )
            create_tables_and_accounts(app)
            with app.app_context():
                created = fill_barely(number, size)
            close_stores(app)
            return created


def fill_barely(number, size):
    # SQLite keeps a time as text, and its driver's form of it is not ours.
    moment = now() if sql.engine.name != "sqlite" else f"{now()}.000000"
    rows = [
        (*cells, normalize_for_search(*cells), 1, 1, moment, moment)
        for cells in map(device, range(number))
    ]
    names = *NAMES, "search", "owner_id", "version", "created_at", "updated_at"
    into = f"devices ({', '.join(names)})"
    mark = "?" if sql.engine.name == "sqlite" else "%s"
    insert = f"INSERT INTO {into} VALUES ({', '.join([mark] * len(rows[0]))})"
    with closing(sql.engine.raw_connection()) as pooled:
        connection = pooled.driver_connection
        cursor = connection.cursor()
        wall, seconds = time.perf_counter(), time.process_time()
        for start in range(0, number, size):
            some = rows[start : start + size]
            if sql.engine.name == "postgresql":
                with cursor.copy(f"COPY {into} FROM STDIN") as copy:
                    for row in some:
                        copy.write_row(row)
            else:
                cursor.execute("BEGIN")
                cursor.executemany(insert, some)
            connection.commit()
        return time.perf_counter() - wall, time.process_time() - seconds


def waits(running, name, number=0, beside=0):
    """Print what POSTs wait for, so many, or as long as an import of `beside` rows lasts;
    returns how many rows a second that does."""
    headers, speed = running.token("engineer"), []
    busy = Thread(
        target=lambda: speed.append(beside / measure_import(running, beside)[0])
    )
    if beside:
        busy.start()
    statuses, taken = set(), []
    with running.connection() as connection:
        while len(taken) < number or busy.is_alive():
            start = time.perf_counter()
            statuses.add(post(connection, len(taken), headers))
            taken.append((time.perf_counter() - start) * 1000)
            time.sleep(PAUSE)
    times = (
        f"{median(taken):>9.1f}{quantiles(taken, n=20)[-1]:>10.1f}{max(taken):>9.1f}"
    )
    print(f"{name:<22}{len(taken):>10,}{times}  {sorted(statuses)}", flush=True)
    return speed.pop() if beside else None


if __name__ == "__main__":
    if "--smoke" in sys.argv:
        main(rows=1_000, posts=20, beside=1_000)
    else:
        main(*sys.argv[1:])
