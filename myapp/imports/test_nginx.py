"""The limits of nginx for imports."""

from support.nginx import deployed_nginx, needs_nginx, send

PATH = "/api/v1/imports/"


@needs_nginx
def test_nginx_passes_a_large_file(tmp_path):
    with deployed_nginx(tmp_path) as port:
        for path in (PATH, PATH.rstrip("/")):
            status, problem = send(port, path, 3_000_000, bytes(3_000_000))
            assert (status, problem["title"]) == (
                502,
                "Bad Gateway",
            )  # no service behind nginx


@needs_nginx
def test_nginx_refuses_a_file_above_the_limit(tmp_path):
    with deployed_nginx(tmp_path) as port:
        status, problem = send(port, PATH, 258 * 2**20)
        assert (status, problem["title"]) == (413, "Content Too Large")
