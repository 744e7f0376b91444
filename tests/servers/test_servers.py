"""The service as other hosts run it: `waitress-serve`, and the commands of Procfile."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager, suppress
from functools import partial

import pytest

from conftest import LAMP, PASSWORDS, basic
from myapp.core.processes import spawn
from support.workers import ROOT, TIMEOUT_SECONDS, production_environment, temporary_app

GADGETS, FILES = "/api/v1/sample_gadgets/", "/api/v1/sample_files/"
ME = basic("pythonista", PASSWORDS["pythonista"])
CLIENT, LIE = "192.0.2.7", "203.0.113.9"
LINES = dict(
    line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines()
)
PROGRAMS = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))


def waitress(port, options=()):
    listen = f"--listen=127.0.0.1:{port}"
    return ["waitress-serve", listen, *options, "--call", "myapp:create_app"]


def procfile(port):
    here = LINES["web"].replace(
        " :$PORT ", " 127.0.0.1:$PORT "
    )  # for this machine alone
    return ["sh", "-c", here]


class Server:
    """A running server."""

    def __init__(self, command, port, folder):
        self.command = command
        self.port = port
        self._folder = folder
        self._log = open(folder / "log")

    def output(self):
        """Return the output since the last call of this method."""
        return self._log.read()

    def close(self):
        print(self._log.read())
        self._log.close()

    def files(self):
        """Return the files that it has received."""
        return list(self._folder.glob("sample_files/*"))

    def call(self, verb, path, body=None, **headers):
        """Return the status, headers and bytes of a response.

        A body that is not bytes is sent in chunks.
        """
        headers = {name.replace("_", "-"): text for name, text in headers.items()}
        headers = {"Authorization": ME, "Content-Type": "application/json"} | headers
        with closing(
            http.client.HTTPConnection("127.0.0.1", self.port, TIMEOUT_SECONDS)
        ) as to:
            to.request(verb, path, body, headers)
            answer = to.getresponse()
            return answer.status, answer.headers, answer.read()

    def send(self, *pieces):
        """Send these bytes and nothing more, and return the response."""
        with closing(
            socket.create_connection(("127.0.0.1", self.port), TIMEOUT_SECONDS)
        ) as to:
            for piece in pieces:
                to.sendall(piece)
            with suppress(OSError):  # it may have closed already
                to.shutdown(socket.SHUT_WR)
                return b"".join(iter(partial(to.recv, 65536), b""))
        return b""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def serving(command, app, folder, cwd=ROOT, **settings):
    """Run a Server on the stores of `app` while the block lasts; yield it when ready."""
    folder.mkdir()
    port = free_port()
    environment = production_environment(
        app, folder, PORT=str(port), PATH=PROGRAMS, **settings
    )
    with open(folder / "log", "wb") as output:
        process = spawn(
            command(port), cwd=cwd, env=environment, stdout=output, stderr=output
        )
    server = Server(command, port, folder)
    try:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            with suppress(OSError):
                status, _, body = server.call("GET", "/status/ready")
                assert status == 200, body
                break
            assert (
                process.poll() is None and time.monotonic() < deadline
            ), server.output()
            time.sleep(0.05)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(TIMEOUT_SECONDS)
        server.close()


@pytest.fixture(scope="module")
def accounts(tmp_path_factory, redis_url):
    with temporary_app(tmp_path_factory.mktemp("sql"), redis_url) as app:
        yield app


@pytest.fixture(scope="module", params=[waitress, procfile])
def server_in_use(request, accounts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server") / "instance"
    with serving(request.param, accounts, folder) as server:
        yield server


@pytest.fixture
def server(server_in_use):
    """Return the server that most tests here share."""
    server_in_use.output()
    return server_in_use


@pytest.fixture(scope="module")
def gadget_paths(server_in_use):
    """Return the paths of existing gadgets, at a location of this server's own."""
    body = json.dumps(LAMP | {"location": server_in_use.command.__name__})
    results = [server_in_use.call("POST", GADGETS, body)[2] for _ in range(3)]
    return [f"{GADGETS}{json.loads(gadget)['id']}" for gadget in results]


def test_a_gadget_is_registered_read_changed_and_deleted(server):
    status, headers, response = server.call("POST", GADGETS, json.dumps(LAMP))
    assert status == 201
    path = f"{GADGETS}{json.loads(response)['id']}"
    assert headers["Location"] == f"http://127.0.0.1:{server.port}{path}"
    assert server.call("GET", path)[::2] == (200, response)
    status, _, changed = server.call("PATCH", path, '{"name": "Another"}')
    assert (status, json.loads(changed)["name"]) == (200, "Another")
    assert server.call("DELETE", path)[::2] == (204, b"")
    assert server.call("GET", path)[0] == 404


def test_a_body_may_come_in_chunks(server):
    status, _, response = server.call("POST", GADGETS, [json.dumps(LAMP).encode()])
    assert (status, json.loads(response)["name"]) == (201, LAMP["name"])
    status, _, _ = server.call("POST", GADGETS, [b"{", b'"name": ', b"1}"])
    assert status == 422


def test_a_file_may_come_in_chunks_and_is_stored_unchanged(server):
    row = b",".join(name.encode() for name in LAMP) + b"\n"
    whole = row * 50_000
    for size in (60_000, len(whole)):
        pieces = [whole[n : n + size] for n in range(0, len(whole), size)]
        sent = server.call("POST", FILES, pieces, Content_Type="text/csv")
        assert sent[0] == 202, sent[2]
        (kept,) = server.files()
        assert kept.read_bytes() == whole
        kept.unlink()


CHUNKED = (
    f"POST {FILES} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {ME}\r\n"
    "Content-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n"
).encode()


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"5\r\nname,",
        b"5\r\nna",
        b"-5\r\nname,\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nname,\r\n0\r\n\r\n",
    ],
)
def test_a_file_whose_chunks_do_not_end_is_not_stored(server, rest):
    answer = server.send(CHUNKED, rest)
    assert answer == b"" or answer.split()[1] == b"400"
    assert server.files() == []
    assert "Traceback" not in server.output()


def test_a_download_is_complete(server, gadget_paths):
    status, headers, body = server.call(
        "GET", f"{GADGETS}export?location={server.command.__name__}"
    )
    assert (status, headers["Content-Type"]) == (
        200,
        "text/csv; charset=utf-8; header=present",
    )
    assert body.count(b"\n") == 1 + len(gadget_paths)


def test_head_has_the_headers_of_get_and_no_body(server, gadget_paths):
    for path in (gadget_paths[0], GADGETS, f"{GADGETS}export", "/nowhere"):
        ways = "HEAD", "GET"
        (status, response, body), (as_get, full, _) = (
            server.call(w, path) for w in ways
        )
        assert (status, body) == (as_get, b"")
        for name in ("Content-Type", "Content-Length", "ETag", "Cache-Control"):
            assert response[name] == full[name], path


@pytest.mark.parametrize(
    "line",
    [
        b"GET",
        b"GET /status/",
        b"\x00\xff\xfe",
        b"BREW /status/ HTTP/1.1",
        b"GET /%zz%ff HTTP/1.1",
        b"GET http://[ HTTP/1.1",
        b"GET /status/ HTTP/9.9",
        b"GET /" + b"x" * 300_000 + b" HTTP/1.1",
        b"GET / HTTP/1.1\r\nHost: \xff",
        b"GET / HTTP/1.1\r\nNo colon",
        b"POST / HTTP/1.1\r\nContent-Length: -1",
        b"POST / HTTP/1.1\r\nContent-Length: many",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked",
    ],
)
def test_a_malformed_request_is_a_client_error(server, line):
    answer = server.send(line + b"\r\nConnection: close\r\n\r\n")
    assert answer == b"" or int(answer.split()[1]) in (*range(200, 500), 501)
    assert server.call("GET", "/status/")[0] == 200
    assert "Traceback" not in server.output()


def began(server, **headers):
    """Where a session that begins so began, and what its address begins with."""
    credentials = {"username": "pythonista", "password": PASSWORDS["pythonista"]}
    login = "/api/v1/auth/login", json.dumps(credentials)
    status, _, body = server.call("POST", *login, **headers)
    assert status == 200
    bearer = f"Bearer {json.loads(body)['access_token']}"
    headers |= {"Authorization": bearer}
    _, _, body = server.call("GET", "/api/v1/auth/sessions", **headers)
    (session,) = (item for item in json.loads(body)["items"] if item["current"])
    return session["address"], session["url"].partition("/api")[0]


ROUTED = {"X_Forwarded_For": f"{LIE}, {CLIENT}", "X_Forwarded_Proto": "https"}


def test_procfile_is_for_a_host_with_a_router_and_waitress_for_clients(server):
    here, (address, link) = f"127.0.0.1:{server.port}", began(server, **ROUTED)
    _, headers, _ = server.call("GET", "/status/", **ROUTED)
    secure = "Strict-Transport-Security" in headers
    if server.command is procfile:
        assert (address, link, secure) == (CLIENT, f"https://{here}", True)
    else:
        assert (address, link, secure) == ("127.0.0.1", f"http://{here}", False)
    assert began(server) == ("127.0.0.1", f"http://{here}")


def test_waitress_serves_behind_a_proxy_and_from_any_folder(accounts, tmp_path):
    behind = partial(waitress, options=["--no-clear-untrusted-proxy-headers"])
    values = {"MYAPP_TRUSTED_PROXIES": "1", "PYTHONPATH": str(ROOT)}
    with serving(behind, accounts, tmp_path / "instance", tmp_path, **values) as server:
        here = f"127.0.0.1:{server.port}"
        assert began(server, **ROUTED) == (CLIENT, f"https://{here}")
        assert {path.name for path in tmp_path.iterdir()} == {"instance"}


@pytest.mark.parametrize("command", [waitress, procfile])
def test_missing_secrets_are_reported_in_one_line(accounts, tmp_path, command):
    environment = production_environment(
        accounts, tmp_path, MYAPP_SECRET_KEY="", PATH=PROGRAMS
    )
    del environment["FLASK_CONFIG"]  # a server that was told nothing is in production
    ended = subprocess.run(
        command(0),
        cwd=ROOT,
        env=environment | {"PORT": "0"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert ended.returncode != 0
    assert "SECRET_KEY must be a secret of at least 32 bytes" in ended.stderr
    assert "Traceback" not in ended.stderr


def run_line(name, environment):
    """Run the line of Procfile until it ends."""
    return subprocess.run(
        ["sh", "-c", LINES[name]],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )


@pytest.mark.parametrize("name", ["release", "worker", "beat"])
def test_the_other_lines_of_procfile_are_commands_in_production(
    accounts, tmp_path, name
):
    flask = tmp_path / "flask"
    flask.write_text('#!/bin/sh\necho "$FLASK_CONFIG $*"\n')
    flask.chmod(0o700)
    path = os.pathsep.join((str(tmp_path), PROGRAMS))
    environment = production_environment(accounts, tmp_path, PATH=path)
    del environment["FLASK_CONFIG"]
    ended = run_line(name, environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    config, command = ended.stdout.split()
    assert config == "production"
    with accounts.app_context():
        assert command in accounts.cli.commands


def test_a_command_of_procfile_reports_missing_secrets_in_one_line(accounts, tmp_path):
    environment = production_environment(
        accounts, tmp_path, PATH=PROGRAMS, FLASK_APP="myapp"
    )
    del environment["FLASK_CONFIG"], environment["MYAPP_SECRET_KEY"]
    ended = run_line("release", environment)
    assert ended.returncode == 1
    assert ended.stderr.startswith("SECRET_KEY must be a secret")
