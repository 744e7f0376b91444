"""The Postman collection works as it is served, call after call."""

import json
import os
import subprocess
from urllib.request import urlopen

import pytest
from conftest import PASSWORDS
from workers import ROOT

NEWMAN = ROOT / "clients" / "node_modules" / ".bin" / "newman"
ME = ["username=pythonista", f"password={PASSWORDS['pythonista']}"]


@pytest.fixture
def run(live_server, tmp_path):
    """Run folders of the collection, with the environment that goes with it; returns the
    statuses by the names of the calls, and whether each call's check was passed."""
    for name in ("postman", "postman-environment"):
        with urlopen(f"{live_server}/docs/{name}.json") as response:
            (tmp_path / f"{name}.json").write_bytes(response.read())

    def run(*folders):
        command = [NEWMAN, "run", "postman.json"]
        command += ["--environment", "postman-environment.json"]
        command += ["--reporters", "json", "--reporter-json-export", "report.json"]
        for value in ME:
            command += ["--env-var", value]
        for folder in folders:
            command += ["--folder", folder]
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | {"NO_UPDATE_NOTIFIER": "1"}
        )
        report = json.loads((tmp_path / "report.json").read_text())["run"]
        statuses = {
            each["item"]["name"]: each["response"]["code"]
            for each in report["executions"]
        }
        return statuses, done.returncode == 0

    return run


@pytest.mark.parametrize("folder", ["status", "auth", "devices", "imports", "todos"])
def test_a_folder_runs_from_top_to_bottom(run, folder):
    statuses, fine = run(folder)
    assert fine and set(statuses.values()) <= {200, 201, 202, 204}
    assert len(statuses) > 1


def test_what_is_made_in_one_folder_is_used_in_another(run):
    statuses, fine = run("Register a device", "presence")
    assert fine
    assert statuses["Send a heartbeat"] == 201
    assert statuses["Sign a device off"] == 204


def test_who_runs_it_keeps_their_name(run):
    for _ in range(2):  # and what must be unique, is
        statuses, fine = run(
            "Sign up", "Sign in: get an access token and a refresh token"
        )
        assert fine and set(statuses.values()) == {200, 201}
    statuses, fine = run("Replace your account; a password that is left out stays")
    assert fine
    statuses, fine = run("account")
    assert fine and statuses.popitem() == ("Delete your account", 204)


def test_a_call_that_fails_is_told(run):
    statuses, fine = run("users")  # which an ordinary account may not see
    assert statuses["List the accounts"] == 403 and not fine
