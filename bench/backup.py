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


# The peak memory of a process includes that of the process that forks it, so a small one
# starts the command.
MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, code, usage = os.wait4(process.pid, 0)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024)
sys.exit(code)
"""


def report(url, *command):
    """Run a command, and print its time and its peak memory."""
    flask = os.path.join(os.path.dirname(sys.executable), "flask")
    began = time.perf_counter()
    output = subprocess.check_output(
        [sys.executable, "-c", MEASURE, flask, *command],
        env={**os.environ, "DATABASE_URL": url},
        cwd=HERE,
        text=True,
    )
    seconds, (cpu, memory) = time.perf_counter() - began, output.split()
    print(
        f"{command[0]:<8} {seconds:6.1f} s, {float(cpu):.1f} s of CPU, {memory} MB, "
        f"{os.path.getsize(command[1]):,} bytes"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
