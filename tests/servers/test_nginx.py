"""nginx in front of the service: the requests that it forwards, and its refusals."""

import gzip
import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from conftest import LAMP, PASSWORDS, basic
from support.nginx import NGINX, deployed_nginx, free_ports, running_nginx, send

COMPRESSING = """
    gzip on;
    gzip_proxied any;
    gzip_min_length 1;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {behind};
            proxy_set_header Host $http_host;
        }}
    }}
"""

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@pytest.fixture
def front(live_server, tmp_path):
    """Yield the URL of an nginx with compression, in front of a live service."""
    (port,) = free_ports(1)
    content = COMPRESSING.format(port=port, behind=live_server)
    with running_nginx(tmp_path, content, port):
        yield f"http://127.0.0.1:{port}"


def call(verb, url, body=None, **headers):
    """Return the status, headers and bytes of a response."""
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


@pytest.fixture
def deployed(tmp_path):
    """Yield the port of an nginx with the configuration of deploy/setup."""
    with deployed_nginx(tmp_path) as port:
        yield port


def test_a_body_too_large_for_every_endpoint_is_refused(deployed):
    status, problem = send(deployed, "/api/v1/users/", 3_000_000)
    assert status == 413
    assert (problem["status"], problem["title"]) == (413, "Content Too Large")


def test_a_body_that_an_endpoint_may_accept_is_forwarded(deployed):
    status, problem = send(deployed, "/api/v1/users/", 1_100_000, bytes(1_100_000))
    assert (status, problem["title"]) == (502, "Bad Gateway")  # no service is behind it
