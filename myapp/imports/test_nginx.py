"""The limits of nginx for imports."""

import pytest
from support.nginx import NGINX, deployed_nginx, send

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
PATH = "/api/v1/imports/"


def test_nginx_passes_a_large_file_up_to_the_limit(tmp_path):
    with deployed_nginx(tmp_path) as port:
        for path in (PATH, PATH.rstrip("/")):
            status, problem = send(port, path, 3_000_000, bytes(3_000_000))
            # no service behind nginx
            assert (status, problem["title"]) == (502, "Bad Gateway")
        status, problem = send(port, PATH, 258 * 2**20)
        assert (status, problem["title"]) == (413, "Content Too Large")
