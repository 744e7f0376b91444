"""Measure imports from a file, compared with single POSTs and with the driver alone.

    python bench/imports.py [sqlite|postgresql|mariadb] [rows]    1,000,000 by default
    python bench/imports.py --smoke              a test run of ten seconds

The database is nearly empty at each start, and the rows are the same, unsorted. `import` is
the service with uWSGI and `flask worker`: rows per second are from the first byte of the
upload to the state `done`, first for a tenth of the rows, then for all; CPU seconds are
those of the worker. `POST` sends requests one after another over an open connection; CPU
seconds are those of the server. `limit` is the driver alone, with tuples in memory: COPY on
PostgreSQL, executemany elsewhere, with several sizes of transactions. Peak memory is that
of the largest process of the worker; `peak_growth` is the growth of the largest growing
process of the worker, and of the web server during the upload.

Finally another account sends POSTs, with a pause after each, to the table with all these
rows: first alone, then during another import.
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

from export import process_usage
from load import cpu, tree

from conftest import (
    PASSWORDS,
    close_stores,
    create_tables_and_accounts,
    empty_database,
)
from myapp import create_app
from myapp.core.data.embedded_redis import start_redis
from myapp.core.data.models.columns import now
from myapp.core.data.models.conditions import normalize_for_search
from myapp.core.data.session import sql
from myapp.core.processes import spawn
from myapp.devices.models import Device
from myapp.imports.tasks import TRANSACTION_ROWS
from support.databases import SERVERS, free_port

ROWS = 1_000_000
POSTS = 2_000
CONCURRENT_ROWS = 100_000  # of the import during other writes
LARGE_TRANSACTION_ROWS = 10_000
PAUSE_SECONDS = 0.01  # between two POSTs during an import
POLL_SECONDS = 0.1  # between two requests of the progress
TIMEOUT_SECONDS = 30  # of a start and a stop
NAMES = tuple(Device.write_schema["properties"])
API = "/api/v1"


def main(database="sqlite", rows=ROWS, posts=POSTS, concurrent_rows=CONCURRENT_ROWS):
    with tempfile.TemporaryDirectory(prefix="imports-") as folder, ExitStack() as stack:
        server = SERVERS.get(database)
        url = server and stack.enter_context(server(folder))
        report(database, url, int(rows), posts, concurrent_rows)


def report(database, url, rows, posts, concurrent_rows):
    """Print the tables."""
    print(
        f"{database:<22}{'rows':>10}{'rows/s':>9}{'s of CPU':>10}{'peak MB':>9}"
        f"{'grown MB':>10}{'web, grown':>12}"
    )
    with service(url) as running:
        print_line("POST", posts, *measure_posts(running, posts))
        print_line("import", rows // 10, *measure_import(running, rows // 10))
    with service(url) as running:
        speed = print_line("import", rows, *measure_import(running, rows))
        limits = {}
        for size in (TRANSACTION_ROWS, LARGE_TRANSACTION_ROWS):
            limits[size] = print_line(
                f"limit, {size:,} at once", rows, *measure_driver(url, rows, size)
            )
        ratios = (f"{speed / limits[size]:.2f} (of {size:,})" for size in limits)
        print(f"import to limit: {', '.join(ratios)}\n")
        print(f"{'POSTs, ms':<22}{'number':>10}{'median':>9}{'p95':>10}{'worst':>9}")
        measure_waits(running, "alone", posts // 10)
        speed = measure_waits(
            running, "beside an import", concurrent_rows=concurrent_rows
        )
        print(f"the import meanwhile: {speed:,.0f} rows/s")


def print_line(name, number, wall, seconds, *memory):
    speed = number / wall
    memory = "".join(f"{m:>{w}.1f}" for m, w in zip(memory, (9, 10, 12)))
    text = f"{name:<22}{number:>10,}{speed:>9,.0f}{seconds:>10.2f}{memory}"
    print(text, flush=True)
    return speed


def device_cells(n):
    """Return the cells of a row: many names and serial numbers, few other values."""
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
    """A running uWSGI and worker; `call` sends requests as pythonista."""

    def __init__(self, folder, host, web, worker):
        self.folder, self.host, self.web, self.worker = folder, host, web, worker

    def connection(self):
        return closing(HTTPConnection(self.host, timeout=TIMEOUT_SECONDS))

    def call(self, verb, path, body=None, **headers):
        """Send a request over a new connection; return the status and the JSON."""
        with self.connection() as connection:
            return send_request(connection, verb, path, body, headers)

    def token(self, name):
        """Return the headers with a token of an account."""
        body = json.dumps({"username": name, "password": PASSWORDS[name]})
        _, response = self.call("POST", "/auth/login", body, **JSON)
        return {"Authorization": f"Bearer {response['access_token']}"}


JSON = {"Content-Type": "application/json"}


def send_request(connection, verb, path, body, headers):
    connection.request(verb, API + path, body, headers)
    response = connection.getresponse()
    return response.status, json.loads(response.read() or "null")


@contextmanager
def service(url):
    """Yield a Service with a new, empty database."""
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
            stack.callback(process.wait, TIMEOUT_SECONDS)
            stack.callback(os.killpg, process.pid, signal.SIGKILL)
            processes.append(process.pid)
        running = Service(folder, host, *processes)
        wait_until(lambda: is_ready(running), log.name)
        yield running


def is_ready(running):
    """Return whether the web server and the worker answer."""
    try:
        with running.connection() as connection:
            connection.request("GET", "/status/ready")
            response = connection.getresponse()
            data = json.loads(response.read())
    except OSError:
        return False
    return response.status == 200 and "ok" in data["worker"]


def wait_until(condition, log):
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"The service does not start:\n{Path(log).read_text()[-5000:]}")
        time.sleep(0.1)


# Measurements


def measure_import(running, number):
    """Return wall seconds, CPU seconds of the worker, and memory in MB.

    The memory is the peak of the worker, its growth, and the growth of the web server.
    """
    headers, file = running.token("pythonista"), write_csv(running, number)
    workers, servers = tree(running.worker), tree(running.web)
    for pid in (*workers, *servers):
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # reset the peak
    worker_peaks, server_peaks = peak_memory(workers), peak_memory(servers)
    seconds, start = cpu(workers), time.perf_counter()
    id = upload(running, file, headers)
    web = peak_growth(peak_memory(servers), server_peaks)
    wait_for_import(running, id, number, headers)
    wall = time.perf_counter() - start
    end_peaks = peak_memory(workers)
    return (
        wall,
        cpu(workers) - seconds,
        max(end_peaks),
        peak_growth(end_peaks, worker_peaks),
        web,
    )


def write_csv(running, number):
    """Write a file with this many rows, and return its path."""
    path = Path(running.folder, "devices.csv")
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(NAMES)
        rows.writerows(map(device_cells, range(number)))
    return path


def upload(running, path, headers):
    """Upload a file, and return the id of its import."""
    size = {"Content-Type": "text/csv", "Content-Length": str(path.stat().st_size)}
    with path.open("rb") as file:
        status, response = running.call("POST", "/imports/", file, **headers, **size)
    assert status == 202, response
    return response["id"]


def wait_for_import(running, id, number, headers):
    """Wait until all rows are registered."""
    values = {"status": "queued"}
    while values["status"] in ("queued", "running"):
        time.sleep(POLL_SECONDS)
        _, values = running.call("GET", f"/imports/{id}", **headers)
    assert (values["status"], values["created"]) == ("done", number), values


def peak_memory(pids):
    """Return the peak memory in MB of each process."""
    return [process_usage(pid)[1] for pid in pids]


def peak_growth(after, before):
    """Return the largest growth of a process."""
    return max(now - then for now, then in zip(after, before))


def measure_posts(running, number):
    """Return wall seconds and CPU seconds of the server."""
    headers, servers = running.token("engineer"), tree(running.web)
    with running.connection() as connection:
        post(connection, 0, headers)
        seconds, start = cpu(servers), time.perf_counter()
        for n in range(number):
            assert post(connection, n, headers) == 201
        return time.perf_counter() - start, cpu(servers) - seconds


def post(connection, n, headers):
    """Send a device, and return the status."""
    body = json.dumps(dict(zip(NAMES, device_cells(n))))
    return send_request(connection, "POST", "/devices/", body, {**JSON, **headers})[0]


def measure_driver(url, number, size):
    """Return wall and CPU seconds of the driver alone, with `size` rows per transaction."""
    with tempfile.TemporaryDirectory(prefix="imports-") as folder:
        with empty_database(folder, url) as uri:
            app = create_app(
                "testing", SQLALCHEMY_DATABASE_URI=uri, REDIS_URL="unix:///nowhere"
            )
            create_tables_and_accounts(app)
            with app.app_context():
                created = insert_rows(number, size)
            close_stores(app)
            return created


def insert_rows(number, size):
    # SQLite stores times as text; the service and the driver format them differently.
    moment = now() if sql.engine.name != "sqlite" else f"{now()}.000000"
    rows = [
        (*cells, normalize_for_search(*cells), 1, 1, moment, moment)
        for cells in map(device_cells, range(number))
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
            batch = rows[start : start + size]
            if sql.engine.name == "postgresql":
                with cursor.copy(f"COPY {into} FROM STDIN") as copy:
                    for row in batch:
                        copy.write_row(row)
            else:
                cursor.execute("BEGIN")
                cursor.executemany(insert, batch)
            connection.commit()
        return time.perf_counter() - wall, time.process_time() - seconds


def measure_waits(running, name, number=0, concurrent_rows=0):
    """Print the latencies of POSTs, alone or during an import of `concurrent_rows` rows.

    Return the rows per second of that import.
    """
    headers, speed = running.token("engineer"), []
    importer = Thread(
        target=lambda: speed.append(
            concurrent_rows / measure_import(running, concurrent_rows)[0]
        )
    )
    if concurrent_rows:
        importer.start()
    statuses, latencies = set(), []
    with running.connection() as connection:
        while len(latencies) < number or importer.is_alive():
            start = time.perf_counter()
            statuses.add(post(connection, len(latencies), headers))
            latencies.append((time.perf_counter() - start) * 1000)
            time.sleep(PAUSE_SECONDS)
    p95 = quantiles(latencies, n=20)[-1]
    times = f"{median(latencies):>9.1f}{p95:>10.1f}{max(latencies):>9.1f}"
    print(f"{name:<22}{len(latencies):>10,}{times}  {sorted(statuses)}", flush=True)
    return speed.pop() if concurrent_rows else None


if __name__ == "__main__":
    if "--smoke" in sys.argv:
        main(rows=1_000, posts=20, concurrent_rows=1_000)
    else:
        main(*sys.argv[1:])
