"""Measure `flask move-db` with many devices, from SQLite.

    python bench/copy_database.py [sqlite|postgresql|mariadb] [rows]

The command runs in its own process, whose peak memory is printed. The seconds include its
start, the copy and the comparison.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack

from pages import HERE, collection
from support.databases import SERVERS


def main(server="postgresql", rows="1000000"):
    size = int(rows)
    with ExitStack() as stack:
        folders = [
            stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{name}-"))
            for name in ("source", "target")
        ]
        stack.enter_context(collection("sqlite", None, folders[0], size))
        target = f"sqlite:///{folders[1]}/target.sqlite3"
        if server in SERVERS:
            target = stack.enter_context(SERVERS[server](folders[1]))
        report(server, size, f"sqlite:///{folders[0]}/{size}.sqlite3", target)


def report(server, size, source, target):
    """Copy the database, and print the time and the memory."""
    flask = os.path.join(os.path.dirname(sys.executable), "flask")
    environment = {**os.environ, "DATABASE_URL": source, "MOVE_DB_TO": target}
    start = compared = time.perf_counter()
    command = subprocess.Popen(
        [flask, "move-db"], env=environment, cwd=HERE, stdout=subprocess.PIPE, text=True
    )
    for line in command.stdout:
        if line.startswith("compare") and compared == start:
            compared = time.perf_counter()
    _, code, usage = os.wait4(command.pid, 0)
    end = time.perf_counter()
    assert code == 0
    print(
        f"{server}: {size:,} rows, copied in {compared - start:.0f} s"
        f" ({size / (compared - start):,.0f} rows/s), compared in {end - compared:.0f} s,"
        f" {usage.ru_utime + usage.ru_stime:.0f} s of CPU, {usage.ru_maxrss / 1024:.0f} MB"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
