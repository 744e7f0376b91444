"""The limits of nginx for imports."""

from support.nginx import deployed_nginx, needs_nginx, send

PATH = "/api/v1/imports/"


@needs_nginx
def test_nginx_passes_a_large_file_up_to_the_limit(tmp_path):
    with deployed_nginx(tmp_path) as port:
        for path in (PATH, PATH.rstrip("/")):
            status, problem = send(port, path, 3_000_000, bytes(3_000_000))
            # no service behind nginx
            assert (status, problem["title"]) == (502, "Bad Gateway")
        status, problem = send(port, PATH, 258 * 2**20)
        assert (status, problem["title"]) == (413, "Content Too Large")
