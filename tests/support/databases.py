"""Run a command beside a database server of its own, which is removed afterwards.

    python tests/support/databases.py postgresql pytest -q

The server comes from Debian's packages, which are installed if they are missing and the
permissions suffice. It listens on 127.0.0.1 on a free port, keeps its data in a
temporary folder, and the command finds its address in TEST_DATABASE_URL.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from glob import glob
from pathlib import Path

IS_ROOT = os.getuid() == 0
TIMEOUT_SECONDS = 30  # seconds to start, and to end


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def install(package, is_installed):
    if not is_installed and IS_ROOT and shutil.which("apt-get"):
        quietly = {"stdout": subprocess.DEVNULL, "check": True}
        subprocess.run(["apt-get", "update", "-qq"], **quietly)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        command = ["apt-get", "install", "-y", "-qq", package]
        subprocess.run(command, env=environment, **quietly)


def as_user(name, *command):
    """Return the command; it changes the user, as these servers refuse to run as root."""
    return ["runuser", "-u", name, "--", *command] if IS_ROOT else list(command)


@contextmanager
def run_server(user, command, port, log, host="127.0.0.1", end=signal.SIGTERM):
    """Run a server in the foreground while the block lasts; yield its process.

    The block begins when the server responds on its port. At the end, the signal `end`
    stops it.
    """
    identity = {"user": user, "group": user, "extra_groups": []} if IS_ROOT else {}
    with open(log, "wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, **identity)
    try:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            with socket.socket() as probe:
                if probe.connect_ex((host, port)) == 0:
                    break
            if server.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"The server did not start:\n{Path(log).read_text()}")
            time.sleep(0.05)
        yield server
    finally:
        server.send_signal(end)
        server.wait(TIMEOUT_SECONDS)


@contextmanager
def postgresql(folder):
    init_postgresql(folder)
    with run_postgresql(folder, port := free_port()):
        yield address(port)


def programs():
    """Return the folder of PostgreSQL's programs."""
    install("postgresql", glob("/usr/lib/postgresql/*/bin/postgres"))
    return Path(sorted(glob("/usr/lib/postgresql/*/bin"))[-1])


def address(port, host="127.0.0.1"):
    return f"postgresql://test@{host}:{port}/postgres"


def init_postgresql(folder):
    """Make an empty PostgreSQL in `folder`."""
    if IS_ROOT:
        shutil.chown(folder, "postgres")
    command = (str(programs() / "initdb"), "-D", f"{folder}/data", "-U", "test")
    options = ("-A", "trust", "-E", "UTF8", "--locale", "C.UTF-8", "-N")
    quietly = {"stdout": subprocess.DEVNULL, "check": True}
    subprocess.run(as_user("postgres", *command, *options), **quietly)


def copy_postgresql(folder, port, host="127.0.0.1"):
    """Make a streaming replica of a running PostgreSQL in `folder`."""
    if IS_ROOT:
        shutil.chown(folder, "postgres")
    command = (str(programs() / "pg_basebackup"), "-D", f"{folder}/data", "-R")
    source = ("-h", host, "-p", str(port), "-U", "test", "--checkpoint=fast", "-N")
    subprocess.run(as_user("postgres", *command, *source), check=True)


def run_postgresql(folder, port, **settings):
    """Run the PostgreSQL in `folder` while the block lasts."""
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": folder,
        "fsync": "off",  # the data are temporary
        "wal_retrieve_retry_interval": "100ms",  # how soon a replica looks again
        **settings,
    }
    options = [word for pair in settings.items() for word in ("-c", "%s=%s" % pair)]
    server = (str(programs() / "postgres"), "-D", f"{folder}/data", *options)
    # SIGQUIT: it does not wait for clients, and skips every optional write.
    return run_server("postgres", server, port, f"{folder}/log", end=signal.SIGQUIT)


@contextmanager
def mariadb(folder):
    install("mariadb-server", shutil.which("mariadbd"))
    if IS_ROOT:
        shutil.chown(folder, "mysql")
    data, port = f"{folder}/data", free_port()
    subprocess.run(
        ["mariadb-install-db", f"--datadir={data}", "--skip-test-db"]
        + (["--user=mysql"] if IS_ROOT else [])
        + ["--auth-root-authentication-method=normal"],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    command = [
        *("mariadbd", f"--datadir={data}", f"--port={port}"),
        *("--bind-address=127.0.0.1", f"--socket={folder}/socket"),
        *(f"--pid-file={folder}/pid", "--innodb-flush-log-at-trx-commit=0"),
        f"--tmpdir={folder}",  # a server that starts clears its own, and no other one's
        # As lax as possible: our code must not depend on the server's configuration.
        *("--sql-mode=", "--character-set-server=latin1"),
        "--collation-server=latin1_swedish_ci",
    ]
    with run_server("mysql", command, port, f"{folder}/log"):
        setup = "CREATE DATABASE test; CREATE USER test; GRANT ALL ON *.* TO test"
        client = ["mariadb", f"--socket={folder}/socket", "--user=root"]
        subprocess.run([*client, "--execute", setup], check=True)
        yield f"mysql://test@127.0.0.1:{port}/test"


SERVERS = {"postgresql": postgresql, "mariadb": mariadb}


def main(name, *command):
    if name not in SERVERS:
        sys.exit(f"DB must be one of: {', '.join(SERVERS)}")
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        with SERVERS[name](folder) as url:
            environment = {**os.environ, "TEST_DATABASE_URL": url}
            return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
