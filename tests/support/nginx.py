"""Run nginx, with a configuration of the test's own or with the one that is deployed."""

import json
import re
import shutil
import socket
import ssl
import subprocess
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPSConnection
from pathlib import Path

from myapp.core.processes import spawn

from . import ROOT
from .waiting import TIMEOUT_SECONDS, wait_until

NGINX_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
NGINX = shutil.which("nginx", path=NGINX_PATH)
CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    {content}
}}
"""
CERTIFICATE = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
    "-subj /CN=localhost -keyout privkey.pem -out fullchain.pem"
)


@contextmanager
def running_nginx(folder, content, *ports):
    """Run nginx with this content of its block `http` during the block; yield its process.

    `ports`: those that it listens on.
    """
    configuration = Path(folder, "nginx.conf")
    configuration.write_text(CONFIGURATION.format(folder=folder, content=content))
    program = shutil.which("nginx", path=NGINX_PATH)
    process = spawn([program, "-c", configuration, "-e", f"{folder}/error.log"])
    try:
        wait_until(lambda: all(map(accepts_connections, ports)))
        yield process
    finally:
        process.terminate()
        assert process.wait(TIMEOUT_SECONDS) == 0


@contextmanager
def deployed_nginx(folder):
    """Run nginx as deploy/setup sets it up, without a service behind it; yield its port.

    What it reads and writes on a server is in `folder`, the features' nginx.conf included.
    """
    for name in ("log", "cache", "tls", "features"):
        (folder / name).mkdir()
    command = CERTIFICATE.split()
    subprocess.run(command, cwd=folder / "tls", check=True, capture_output=True)
    for file in ROOT.glob("myapp/*/nginx.conf"):
        shutil.copy(file, folder / "features" / f"{file.parent.name}.conf")
    plain, tls = free_ports(2)
    content = (ROOT / "deploy/nginx.conf").read_text()
    content = re.sub(r".*listen \[::\].*\n", "", content)
    for on_a_server, here in {
        "DOMAIN": "localhost",
        "listen 80": f"listen 127.0.0.1:{plain}",
        "listen 443": f"listen 127.0.0.1:{tls}",
        "/etc/nginx/myapp.d": f"{folder}/features",
        "/etc/myapp/tls": f"{folder}/tls",
        "/var/log/myapp": f"{folder}/log",
        "/var/cache/myapp": f"{folder}/cache",
        "/run/myapp": f"{folder}",
    }.items():
        assert on_a_server in content
        content = content.replace(on_a_server, here)
    with running_nginx(folder, content, tls):
        yield tls


def send(port, path, size, body=None):
    """Return the status and the JSON of the response to a POST of `size` bytes."""
    context = ssl._create_unverified_context()
    connection = HTTPSConnection("localhost", port, context=context, timeout=10)
    with closing(connection):
        connection.request("POST", path, body, {"Content-Length": str(size)})
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def free_ports(number):
    """Return as many ports that nothing listens on."""
    with ExitStack() as stack:
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
        for each in sockets:
            stack.enter_context(each)
        return [each.getsockname()[1] for each in sockets]


def accepts_connections(port):
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
