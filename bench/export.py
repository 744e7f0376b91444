"""Measure exports: speed and memory of the server, by the number of rows.

    python bench/export.py [sqlite|postgresql|mariadb] [rows …]

For each number of rows, an account owns as many devices. Each download comes from a new
server, over a socket, to a client that reads in pieces and keeps nothing. CPU time and peak
memory are those of the server; `grown` is the growth of the peak during the download.
`bare` is the same query with only the driver and csv.writer.
"""

import csv
import io
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from flask_migrate import upgrade
from pymysql.cursors import SSCursor
from werkzeug.serving import make_server

from myapp import create_app
from myapp.core.data.models.pages import Page
from myapp.core.data.session import sql, unit_of_work
from myapp.devices.models import Device
from myapp.roles.models import Role
from myapp.users.models import User
from support.databases import SERVERS

ROWS = (1_000, 100_000, 1_000_000)
BATCH_ROWS = 500  # rows that the driver returns at once, as in an export
PASSWORD = "green fingers"
TICKS = os.sysconf("SC_CLK_TCK")
STREAMING = {
    "pysqlite": lambda connection: connection.cursor(),
    "psycopg": lambda connection: connection.cursor("bare"),
    "pymysql": lambda connection: connection.cursor(SSCursor),
}


def main(database="sqlite", *numbers):
    with tempfile.TemporaryDirectory(prefix="export-") as folder:
        with SERVERS.get(database, sqlite)(folder) as uri:
            report(uri, [int(number) for number in numbers] or ROWS)


@contextmanager
def sqlite(folder):
    yield f"sqlite:///{folder}/bench.sqlite3"


def application(uri):
    settings = {"SQLALCHEMY_DATABASE_URI": uri, "REDIS_URL": "unix:///nowhere"}
    app = create_app("testing", **settings)
    logging.getLogger("myapp").setLevel(logging.WARNING)
    return app


def report(uri, numbers):
    """Print the table."""
    app = application(uri)
    with app.app_context():
        upgrade()
        with unit_of_work():
            Role.ensure_builtin_roles()
        for number in numbers:
            fill(number)
    print(
        f"{'rows':>9} {'form':<6}{'MB':>8}{'s of CPU':>10}{'rows/s':>9}"
        f"{'peak MB':>9}{'grown MB':>10}"
    )
    for number in numbers:
        for form in ("csv", "ndjson"):
            with server(uri) as (address, process):
                print_line(number, form, *download(app, address, process, number, form))
        with app.app_context():
            print_line(number, "bare", *measure_driver(number), 0, 0)
    with app.app_context():
        sql.engine.dispose()


def print_line(number, form, size, seconds, peak, grown):
    memory = f"{peak:>9.1f}{grown:>10.1f}" if peak else ""
    speed = number / max(seconds, 0.01)
    print(
        f"{number:>9} {form:<6}{size / 1e6:>8.1f}{seconds:>10.2f}{speed:>9.0f}{memory}"
    )


def fill(number):
    """Create an account with this many devices, and return its token."""
    with unit_of_work():
        owner = User.create(f"owner-of-{number}", PASSWORD).id
    for start in range(0, number, 10_000):
        with unit_of_work():
            Device.create_many(
                (
                    {
                        "name": f"Kitchen Thermostat {n}",
                        "location": f"Kitchen {n % 50}",
                        "type": "Thermostat",
                        "model": "Acova TAFFETAS2",
                        "serial_number": f"ACOV-{n:07}",
                    }
                    for n in range(start, min(start + 10_000, number))
                ),
                owner_id=owner,
            )


@contextmanager
def server(uri):
    """Yield the address and the process of a service on this database."""
    process = subprocess.Popen(
        [sys.executable, __file__, "serve", uri],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/api/v1", process
    finally:
        process.terminate()
        process.wait()


def serve(uri):
    """Print the port, and serve until the process ends."""
    result = make_server("127.0.0.1", 0, application(uri), threaded=True)
    print(result.port, flush=True)
    result.serve_forever()


def download(app, address, process, number, form):
    """Return bytes, CPU seconds of the server, its peak memory and its growth in MB."""
    # A token, since hashing a password takes more memory than everything else.
    body = {"username": f"owner-of-{number}", "password": PASSWORD}
    token = app.test_client().post("/api/v1/auth/login", json=body).json["access_token"]

    def get(path):
        headers = {"Authorization": f"Bearer {token}"}
        return urlopen(Request(address + path, headers=headers))

    get("/devices/?per_page=1").read()
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # reset the peak
    seconds, idle = process_usage(process.pid)
    size = lines = 0
    with get(f"/devices/export?format={form}") as response:
        while piece := response.read(65536):
            size += len(piece)
            lines += piece.count(b"\n")
    after, peak = process_usage(process.pid)
    assert lines == number + (form == "csv")
    return size, after - seconds, peak, peak - idle


def process_usage(pid):
    """Return the CPU seconds and the peak memory in MB of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024
    return (int(fields[11]) + int(fields[12])) / TICKS, peak


def measure_driver(number):
    """Return bytes and CPU seconds of only the driver and csv.writer."""
    owner = User.find(f"owner-of-{number}").id
    page = Page(1, 0, (("id", False),), {}, "", "none", None)
    statement = Device._sorted_select(page).where(Device.owner_id == owner)
    options = {"dialect": sql.engine.dialect, "compile_kwargs": {"literal_binds": True}}
    query = str(statement.compile(**options))
    size, text = 0, io.StringIO()
    with closing(sql.engine.raw_connection()) as connection:
        cursor = STREAMING[sql.engine.dialect.driver](connection.driver_connection)
        start = time.process_time()
        cursor.execute(query)
        while rows := cursor.fetchmany(BATCH_ROWS):
            csv.writer(text).writerows(rows)
            size += len(text.getvalue().encode())
            text.seek(0)
            text.truncate()
        seconds = time.process_time() - start
        cursor.close()
    return size, seconds


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2])
    else:
        main(*sys.argv[1:])
