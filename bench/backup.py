"""Measure `flask backup` and `flask restore` with many devices.

    python bench/backup.py [sqlite|postgresql|mariadb] [rows]

The devices are in SQLite; they are backed up, restored into the database, and backed up
from there. Each command runs in its own process, whose peak memory is printed.
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
        source = f"sqlite:///{folders[0]}/{size}.sqlite3"
        target = f"sqlite:///{folders[1]}/target.sqlite3"
        if server in SERVERS:
            target = stack.enter_context(SERVERS[server](folders[1]))
        print(f"{size:,} rows, SQLite to {server}")
        report(source, "backup", f"{folders[0]}/file.zip")
        report(target, "restore", f"{folders[0]}/file.zip")
        report(target, "backup", f"{folders[0]}/again.zip")


def report(url, *command):
    """Run a command, and print its time and its peak memory."""
    flask = os.path.join(os.path.dirname(sys.executable), "flask")
    began = time.perf_counter()
    environment = {**os.environ, "DATABASE_URL": url}
    process = subprocess.Popen(
        [flask, *command], env=environment, cwd=HERE, stdout=subprocess.DEVNULL
    )
    _, code, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    assert code == 0
    print(
        f"{command[0]:<8} {seconds:6.1f} s, {usage.ru_utime + usage.ru_stime:.1f} s of "
        f"CPU, {usage.ru_maxrss / 1024:.0f} MB, {os.path.getsize(command[1]):,} bytes"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
