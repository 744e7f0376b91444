"""Behind a real nginx that compresses, an item's ETag still lets its owner change it."""

import gzip
import json
import shutil
import socket
import time
from contextlib import closing
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from conftest import LAMP, PASSWORDS, basic
from myapp.core.processes import spawn

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    gzip on;
    gzip_proxied any;
    gzip_min_length 1;
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {behind};
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@pytest.fixture
def front(live_server, tmp_path):
    """The address of an nginx before a live service."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    settings = {"folder": tmp_path, "port": port, "behind": live_server}
    (tmp_path / "nginx.conf").write_text(CONFIGURATION.format(**settings))
    process = spawn(
        [NGINX, "-c", tmp_path / "nginx.conf", "-e", tmp_path / "error.log"]
    )
    try:
        for _ in range(100):
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait(10) == 0


def call(verb, url, body=None, **headers):
    """The status, headers and bytes of an answer."""
    headers = {
        "Authorization": basic("pythonista", PASSWORDS["pythonista"]),
        "Accept-Encoding": "gzip",
        "Content-Type": "application/json",
        **headers,
    }
    data = json.dumps(body).encode() if body else None
    try:
        with urlopen(Request(url, data, headers, method=verb), timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def test_the_etag_of_an_item_goes_through_nginx_and_back(front):
    gadgets = f"{front}/api/v1/sample_gadgets/"
    long = {name: value.ljust(64, "x") for name, value in LAMP.items()}
    status, headers, body = call("POST", gadgets, long)
    assert status == 201
    url = json.loads(body)["url"]
    assert url.startswith(gadgets)
    status, headers, body = call("GET", url)
    assert "Content-Encoding" not in headers
    tag = headers["ETag"]
    assert tag.startswith('"')
    assert call("GET", url, **{"If-None-Match": tag})[0] == 304
    assert call("PUT", url, LAMP, **{"If-Match": tag})[0] == 200
    assert call("PUT", url, long, **{"If-Match": tag})[0] == 412


def test_a_page_goes_through_nginx_as_we_compressed_it(front):
    gadgets = f"{front}/api/v1/sample_gadgets/"
    for _ in range(3):
        call("POST", gadgets, LAMP)
    status, headers, body = call("GET", gadgets)
    assert headers["Content-Encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(body))["items"]) == 3
    assert headers["ETag"].startswith('"')
    assert call("GET", gadgets, **{"If-None-Match": headers["ETag"]})[0] == 304
