"""Run a command beside a database server of its own, gone afterwards.

    python tests/databases.py postgresql pytest -q

The server comes from Debian's packages, which it installs where they are missing and it
may. It listens on 127.0.0.1 on a free port, keeps its data in a temporary folder, and the
command finds its address in TEST_DATABASE_URL.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from glob import glob
from pathlib import Path

ROOT = os.getuid() == 0
PATIENCE = 30  # seconds to start, and to end


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def install(package, there):
    if not there and ROOT and shutil.which("apt-get"):
        quietly = {"stdout": subprocess.DEVNULL, "check": True}
        subprocess.run(["apt-get", "update", "-qq"], **quietly)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        command = ["apt-get", "install", "-y", "-qq", package]
        subprocess.run(command, env=environment, **quietly)


def as_user(name, *command):
    """The command; these servers refuse to run as root."""
    return ["runuser", "-u", name, "--", *command] if ROOT else list(command)


@contextmanager
def running(command, port, log):
    """A server in the foreground, from when it answers on its port until it has ended."""
    with open(log, "wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if server.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"The server did not start:\n{Path(log).read_text()}")
            time.sleep(0.05)
        yield
    finally:
        server.terminate()
        server.wait(PATIENCE)


@contextmanager
def postgresql(folder):
    install("postgresql", glob("/usr/lib/postgresql/*/bin/postgres"))
    programs = Path(sorted(glob("/usr/lib/postgresql/*/bin"))[-1])
    if ROOT:
        shutil.chown(folder, "postgres")
    data, port = f"{folder}/data", free_port()
    subprocess.run(
        as_user(
            "postgres",
            *(str(programs / "initdb"), "-D", data, "-U", "test"),
            *("-A", "trust", "-E", "UTF8", "--locale", "C.UTF-8"),
        ),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": folder,
        "fsync": "off",  # what is thrown away need not survive
    }
    options = [word for pair in settings.items() for word in ("-c", "%s=%s" % pair)]
    command = as_user("postgres", str(programs / "postgres"), "-D", data, *options)
    with running(command, port, f"{folder}/log"):
        yield f"postgresql://test@127.0.0.1:{port}/postgres"


@contextmanager
def mariadb(folder):
    install("mariadb-server", shutil.which("mariadbd"))
    if ROOT:
        shutil.chown(folder, "mysql")
    data, port = f"{folder}/data", free_port()
    subprocess.run(
        ["mariadb-install-db", f"--datadir={data}", "--skip-test-db"]
        + (["--user=mysql"] if ROOT else [])
        + ["--auth-root-authentication-method=normal"],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    command = as_user(
        "mysql",
        *("mariadbd", f"--datadir={data}", f"--port={port}"),
        *("--bind-address=127.0.0.1", f"--socket={folder}/socket"),
        *(f"--pid-file={folder}/pid", "--innodb-flush-log-at-trx-commit=0"),
        f"--tmpdir={folder}",  # a server that starts clears its own, and no other one's
        # As lax as one can be: nothing we do may rely on how a server is set up.
        *("--sql-mode=", "--character-set-server=latin1"),
        "--collation-server=latin1_swedish_ci",
    )
    with running(command, port, f"{folder}/log"):
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
