"""The server of docs/deploy.md: the proxy, restarts, logs and a restored backup."""

import json
import re
from contextlib import closing

import pytest
from load import API
from machine import ROOT

from conftest import ACCOUNT, NAME, until

SERVICES = ("web", "worker", "beat")
UNITS = sorted(path.name for path in (ROOT / "deploy/units").glob("myapp-*.service"))
ON_THE_SERVER = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture
def client(server):
    with closing(server.client()) as client:
        client.sign_in(*ACCOUNT)
        yield client


def curl(server, *words):
    """Run curl and return its output: the response with its headers."""
    code, output = server.sh(f"curl --silent --include --insecure {' '.join(words)}")
    assert code == 0, output
    return output


# systemd


def test_systemd_reports_no_error_in_the_units(server):
    units = [
        path.name for path in (ROOT / "deploy/units").glob("*.*") if path.is_file()
    ]
    assert server.machine.run(f"systemd-analyze verify {' '.join(units)}") == ""


@pytest.mark.parametrize("unit", UNITS)
def test_a_service_has_few_permissions(server, unit):
    result = server.machine.run(
        f"systemd-analyze security --no-pager {unit} | tail -n 1"
    )
    assert float(re.search(r"[0-9.]+(?= OK)", result)[0]) <= 2.0


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_hangs_is_restarted(server, name):
    run = server.machine.run
    rule = f"/run/systemd/system/myapp-{name}.service.d"
    run(
        f"mkdir {rule} && printf '[Service]\\nWatchdogSec=8\\n' > {rule}/soon.conf && "
        f"systemctl daemon-reload && systemctl restart myapp-{name}"
    )
    before = int(run(f"systemctl show --value --property NRestarts myapp-{name}"))
    run(f"systemctl kill --signal STOP myapp-{name}")
    until(
        lambda: f"{before + 1}\nactive\n"
        == run(f"systemctl show --value -p NRestarts,ActiveState myapp-{name}")
    )
    run(f"rm --recursive {rule} && systemctl daemon-reload")
    run(f"systemctl restart myapp-{name}")


def test_a_call_that_comes_while_the_service_is_away_waits_for_it(server, client):
    server.machine.run("systemctl stop myapp-web.service")
    state = server.machine.run("systemctl is-active myapp-web.service || true")
    assert state.split() == ["inactive"]
    assert client.call("GET", "/status/")["online"]


# nginx


def test_everything_but_acme_challenges_uses_tls(server):
    answer = curl(server, f"http://{NAME}/docs/?q=1")
    assert answer.startswith("HTTP/1.1 308 ")
    assert f"Location: https://{NAME}/docs/?q=1" in answer


def test_nginx_supports_http_2_and_hides_its_version(server):
    answer = curl(server, f"https://{NAME}/status/")
    assert answer.startswith("HTTP/2 200")
    assert "server: nginx\r\n" in answer or "server: nginx\n" in answer
    assert "strict-transport-security: max-age=31536000" in answer


def test_a_request_to_another_host_name_is_refused(server):
    code, _ = server.sh(f"curl --silent --insecure https://{server.machine.address}/")
    assert code != 0


def test_metrics_are_available_only_on_this_machine(server):
    answer = curl(server, f"https://{NAME}/metrics")
    assert answer.startswith("HTTP/2 404")
    assert "application/problem+json" in answer
    result = server.machine.run(
        f"echo 127.0.0.1 {NAME} >> /etc/hosts && python3 -c 'from ssl import *; "
        "from urllib.request import *; trust = create_default_context("
        f'cafile="/etc/myapp/tls/fullchain.pem"); '
        f'print(urlopen("https://{NAME}/metrics", context=trust).read().decode())\''
    )
    assert 'http_requests_total{method="GET"' in result


def test_a_body_that_is_too_large_is_a_problem_like_all_others(server):
    answer = curl(
        server,
        f"--data-binary @<(head -c 3000000 /dev/zero) https://{NAME}{API}/devices/",
    )
    problem = json.loads(answer[answer.index("{") :])
    assert (problem["status"], problem["title"]) == (413, "Content Too Large")
    assert f"x-request-id: {problem['request_id']}" in answer


def test_a_large_file_of_devices_may_come_in_chunks(client):
    rows = [f"Lamp,Hall,Light,{'x' * 60},{n}" for n in range(40_000)]
    file = "\n".join(["name,location,type,model,serial_number", *rows]).encode()
    assert len(file) > 2 * 1024 * 1024
    pieces = iter([file[:1_000_000], file[1_000_000:]])  # Transfer-Encoding: chunked
    response = client.call(
        "POST", f"{API}/imports/", pieces, 202, Content_Type="text/csv"
    )
    assert response["url"].startswith(f"https://{NAME}/")
    client.call("DELETE", response["url"], wanted=204)


def test_the_files_of_the_documents_are_cached_by_nginx(server):
    page = curl(server, f"https://{NAME}/docs/")
    file, *_ = re.findall(r'/docs/[^"]+\.css', page)
    curl(server, f"https://{NAME}{file}")
    assert "x-cache: HIT" in curl(server, f"https://{NAME}{file}")


def test_a_session_shows_the_address_of_the_client(server, client):
    session, *_ = client.call("GET", f"{API}/auth/sessions")["items"]
    assert session["address"] == server.machine.neighbour


# Logs


def test_the_journal_is_in_json_and_contains_no_secret(server):
    lines = server.machine.run(
        "journalctl --unit 'myapp-web' --output cat"
    ).splitlines()
    # A worker that is killed while it writes a line leaves it incomplete.
    spoken = [line for line in lines if line.startswith("{") and line.endswith("}")]
    assert all(json.loads(line)["at"].endswith("Z") for line in spoken)
    assert len(spoken) > 100
    journal = server.machine.run("journalctl --no-pager")
    secrets = re.findall(r"[0-9a-f]{64}", server.machine.run("cat /etc/myapp/env"))
    assert len(secrets) == 4
    assert [secret for secret in secrets if secret in journal] == []


def test_the_logs_of_nginx_are_rotated(server):
    run = server.machine.run
    run("logrotate --force /etc/logrotate.d/myapp")
    curl(server, f"https://{NAME}/status/")
    until(lambda: run("cat /var/log/myapp/access.log"))
    (line,) = run("cat /var/log/myapp/access.log").splitlines()
    assert json.loads(line)["path"] == "/status/"
    assert run("ls /var/log/myapp/access.log.1")


# Files and permissions


def test_a_release_has_no_tests_and_no_developer_tools(server):
    paths = server.machine.run(
        "cd /srv/myapp/current && find . -path ./.venv -prune -o -type f -print"
    ).split()
    assert "./myapp/version.py" in paths
    left_out = re.compile(
        r"\./(\.ci|\.github|bench|tests|tools)/|.*/(conftest|test_\w+)\.py$"
    )
    assert [path for path in paths if left_out.match(path)] == []


def test_doctor_finds_no_error_on_the_server(server):
    server.machine.run("myapp doctor")  # raises where it exits with 1


# Backups, and the chapter's other commands


def test_a_backup_can_be_restored(server, client):
    run = server.machine.run
    run("systemctl start myapp-backup.service")
    (file,) = run("ls -t /var/backups/myapp/* | head -n 1").split()
    body = {
        "name": "n",
        "location": "l",
        "type": "t",
        "model": "m",
        "serial_number": "late",
    }
    late = client.call("POST", f"{API}/devices/", body, 201)
    for name in ("web.service", "worker", "beat"):
        run(f"systemctl stop myapp-{name}")
    run(f"myapp restore --replace {file}")
    for name in ("web", "worker", "beat"):
        run(f"systemctl start myapp-{name}")
    client.sign_in(*ACCOUNT)
    client.call("GET", f"{API}/devices/{late['id']}", wanted=404)


def test_the_chapters_commands_on_the_server_work(server):
    (block,) = ON_THE_SERVER.findall(server.chapter)
    commands = block.splitlines()
    assert len(commands) == 6
    release, *_ = server.machine.run("ls /srv/myapp/releases").split()
    for command in commands:
        server.machine.run(re.sub(r"\d{8}T\d{6}Z-[0-9a-f]{12}", release, command))
    with closing(server.client()) as client:
        assert client.call("GET", "/status/ready")["database"] == "ok"
