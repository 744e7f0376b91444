"""`make run`, for real: it starts, keeps its data, and leaves no process behind."""

import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import copy2
from urllib.request import urlopen

import pytest
from celery import Celery
from click import ClickException
from redis import Redis

from myapp.core.data.embedded_redis import (
    MAX_SOCKET_PATH_BYTES,
    embedded_redis_url,
    ping,
    socket_path,
    start_redis,
)
from myapp.core.data.redis import broker_options
from myapp.core.jobs.worker import WORKERS_KEY
from myapp.core.processes import spawn
from myapp.ops.probes import readiness
from myapp.version import __version__
from support import ROOT
from support.copies import copy_code
from support.waiting import wait_until

LIMIT = 120  # seconds that anything here may take, on a busy machine
ACCOUNT = {"username": "survivor", "password": "correct horse battery"}
# Itself, Redis, the web, the clock, a worker, and its process for each core.
ALL = 5 + (os.cpu_count() or 1)
JOB = re.compile(rb'^jobs_total{job="users.purge",outcome="done"} [1-9]', re.M)
pytestmark = pytest.mark.no_database  # always SQLite, as `make run` uses it
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    """Return a shared instance folder: the second start in it is the faster one."""
    return tmp_path_factory.mktemp("instance")


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def flask(*arguments):
    return [sys.executable, "-m", "flask", *arguments]


@contextmanager
def run_process(command, instance, cwd=ROOT, **settings):
    """Run `command` while the block lasts; yield its process; write output.txt.

    It has a developer's environment, independent of that of the tests.
    """
    ours = re.compile("MYAPP_|FLASK_|WERKZEUG_|(REDIS|DATABASE)_URL$")
    env = {name: text for name, text in os.environ.items() if not ours.match(name)}
    env |= {"FLASK_APP": "myapp", "FLASK_SKIP_DOTENV": "1", "PYTHONUNBUFFERED": "1"}
    env |= {"INSTANCE_PATH": str(instance)} | settings
    with open(instance / "output.txt", "wb") as output:
        process = spawn(
            command, cwd=cwd, env=env, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(LIMIT)


def copy_project(folder, procfile):
    """Copy to `folder` what `flask dev` reads, with another Procfile.dev."""
    for name in ("myapp", "migrations", "data", "tools"):
        if (ROOT / name).is_dir():
            copy_code(ROOT / name, folder / name)
    copy2(ROOT / "default_config.py", folder)
    (folder / "Procfile.dev").write_text(procfile)


def output(instance):
    return (instance / "output.txt").read_text()


def processes(instance):
    """Return the command lines of all processes that use this instance folder."""
    results, variable = [], f"INSTANCE_PATH={instance}\0".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended, or it belongs to another user
            is_ours = variable in (entry / "environ").read_bytes()
            # Valkey overwrites its environment, but works in the folder.
            if is_ours or (entry / "cwd").readlink() == instance:
                results.append((entry / "cmdline").read_text().replace("\0", " "))
    return results


def call(port, verb, path, body=None, media_type="application/json"):
    """Return the status and the JSON of a response to the first demo account."""
    credentials = base64.b64encode(b"pythonista:I<3testing").decode()
    headers = {"Authorization": f"Basic {credentials}", "Content-Type": media_type}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    try:
        connection.request(verb, path, body and json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@on_linux
def test_it_starts_with_demo_data_keeps_its_data_and_ends_with_make(tmp_path, port):
    address = f"http://127.0.0.1:{port}"
    with run_process(flask("dev"), tmp_path, PORT=str(port)) as process:
        wait_until(lambda: "Ctrl-C" in output(tmp_path) or process.poll() is not None)
        message = output(tmp_path)
        assert readiness(port)[0] == 200, message
        for expected in (
            "2 users\n",
            f"{address}/docs/",
            "pythonista  I<3testing",
            f"curl -u 'pythonista:I<3testing' {address}/api/v1/",
        ):
            assert expected in message
        assert call(port, "POST", "/api/v1/auth/register", ACCOUNT)[0] == 201
        url = embedded_redis_url(tmp_path)
        with Redis.from_url(url) as redis:
            redis.set("survivor", 7)
        with Celery(broker=broker_options(url)[0]) as celery:
            celery.send_task("users.purge")
        wait_until(lambda: JOB.search(urlopen(f"{address}/metrics").read()))
        wait_until(lambda: len(processes(tmp_path)) == ALL)
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT) == 0
        assert processes(tmp_path) == []
    # "; true" keeps the shell, which would become the last command of its line.
    make = ["sh", "-c", '"$@"; true', "make", *flask("dev")]
    with run_process(make, tmp_path, PORT=str(port)) as process:
        wait_until(lambda: "Ctrl-C" in output(tmp_path))
        assert call(port, "POST", "/api/v1/auth/login", ACCOUNT)[0] == 200
        with Redis.from_url(url) as redis:
            assert redis.get("survivor") == b"7"
        process.kill()
        process.wait(LIMIT)
        wait_until(lambda: not processes(tmp_path))


@on_linux
def test_all_end_when_one_ends(instance, tmp_path, port):
    copy_project(tmp_path, "redis: flask redis\nother: sleep 600\n")
    with run_process(flask("dev"), instance, tmp_path, PORT=str(port)) as process:
        wait_until(lambda: ping(socket_path(instance)))
        wait_until(lambda: "sleep 600 " in processes(instance))
        pid = Redis.from_url(embedded_redis_url(instance)).info("server")["process_id"]
        os.kill(pid, signal.SIGKILL)
        assert process.wait(LIMIT) == 1
        assert processes(instance) == []
    assert "redis ended" in output(instance)


@on_linux
def test_the_processes_restart_when_the_code_changes(instance, tmp_path, port):
    """And a Redis that is named is the only one."""
    lines = (ROOT / "Procfile.dev").read_text().splitlines(keepends=True)
    copy_project(tmp_path, "".join(line for line in lines if "beat" not in line))
    changing = tmp_path / "myapp" / "version.py"
    good = changing.read_text()

    def version():
        with suppress(OSError):
            return call(port, "GET", "/status/")[1]["version"]

    with start_redis() as (_, url), Redis.from_url(url) as redis:
        options = {"cwd": tmp_path, "PORT": str(port), "REDIS_URL": url}
        with run_process(flask("dev"), instance, **options) as process:
            wait_until(lambda: "Ctrl-C" in output(instance))
            assert ping(socket_path(instance)) is None
            first = set(redis.zrange(WORKERS_KEY, 0, -1))
            changing.write_text(f"{good}half-sa")
            wait_until(
                lambda: "does not start; it will be restarted" in output(instance)
            )
            assert "NameError" in output(instance)
            changing.write_text(good.replace(__version__, "9.9.9"))
            wait_until(lambda: version() == "9.9.9")
            assert process.poll() is None
            wait_until(lambda: set(redis.zrange(WORKERS_KEY, 0, -1)) - first)
            process.kill()
            process.wait(LIMIT)
            wait_until(lambda: not processes(instance))


def test_the_profiler_reports_the_time_of_a_request(instance, port):
    with run_process(flask("profile"), instance, PORT=str(port)):
        wait_until(lambda: readiness(port)[0])
        wait_until(lambda: "PATH: '/status/ready'" in output(instance))
        assert "(dispatch_request)" in output(instance)


def test_a_port_that_is_taken_is_named(instance):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        with run_process(flask("dev"), instance, PORT=port) as process:
            assert process.wait(LIMIT) == 1
    assert f"Cannot listen on port {port}" in output(instance)


def test_two_redis_do_not_share_a_folder(instance):
    with start_redis(instance):
        with run_process(flask("redis"), instance) as process:
            assert process.wait(LIMIT) == 1
        with pytest.raises(ClickException), start_redis(instance):
            pass
    assert "already answers" in output(instance)


def test_the_socket_of_a_killed_redis_is_not_in_the_way(tmp_path):
    with start_redis(tmp_path) as (process, _):
        process.kill()
    assert os.path.exists(socket_path(tmp_path))
    with start_redis(tmp_path) as (_, url):
        assert Redis.from_url(url).ping()


def test_a_temporary_redis_leaves_no_file():
    with start_redis() as (process, url):
        folder = Path(url.removeprefix("unix://")).parent
        assert folder.exists()
    assert not folder.exists()
    assert process.returncode == 0


def test_a_folder_too_deep_for_a_socket_gets_one_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / ("deep" * 25)
    result = Path(socket_path(folder))
    assert result == Path(socket_path(folder)) != Path(socket_path(folder / "other"))
    assert result.parent.stat().st_mode & 0o777 == 0o700
    result.parent.chmod(0o755)
    with pytest.raises(PermissionError):
        socket_path(folder)


def test_a_socket_in_its_folder_is_short_enough():
    assert len(socket_path("/srv/myapp/instance")) <= MAX_SOCKET_PATH_BYTES
    assert embedded_redis_url("/srv/my app") == "unix:///srv/my%20app/redis.sock"
