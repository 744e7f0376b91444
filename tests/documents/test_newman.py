"""The Postman collection works as it is served, request after request."""

import json
import os
import re
import subprocess
from urllib.request import urlopen

import pytest

from conftest import PASSWORDS
from myapp import FEATURES
from support.discovery import VERBS
from support.workers import ROOT

NEWMAN = ROOT / "clients" / "node_modules" / ".bin" / "newman"
ME = ["username=pythonista", f"password={PASSWORDS['pythonista']}"]
# The folders of which every account may make every call, but for the one that it ends with.
CLOSED = {
    verb.function.__module__.split(".")[1]
    for verb in VERBS
    if verb.required_permissions
}
FOLDERS = sorted({feature.name for feature in FEATURES} - CLOSED - {"account"})


@pytest.fixture
def folders(live_server, tmp_path):
    """Return the folders of the collection by name; put its files into tmp_path."""
    for name in ("postman", "postman-environment"):
        with urlopen(f"{live_server}/docs/{name}.json") as response:
            (tmp_path / f"{name}.json").write_bytes(response.read())
    collection = json.loads((tmp_path / "postman.json").read_text())
    return {folder["name"]: folder for folder in collection["item"]}


def calls(folder):
    return [call["name"] for call in folder["item"]]


def prerequisites(folder, folders):
    """Yield the names of the calls that a folder depends on, in their order."""
    for name in re.findall("Run “(.+?)” first", folder["description"]):
        (home,) = (each for each in folders.values() if name in calls(each))
        yield from prerequisites(home, folders)
        yield name


@pytest.fixture
def run(folders, tmp_path):
    """Run folders of the collection, with the environment that goes with it; returns the
    statuses by the names of the calls, and whether each call's check was passed."""

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


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_runs_from_top_to_bottom(run, folders, name):
    first = [*prerequisites(folders[name], folders)]
    statuses, fine = run(*first, name)
    assert fine and set(statuses.values()) <= {200, 201, 202, 204}
    assert statuses.keys() == {*first, *calls(folders[name])}


def test_a_folder_that_needs_another_says_so(folders):
    assert "Run “Register a device” first." in folders["presence"]["description"]


def test_a_run_keeps_the_username_of_the_account(run):
    for _ in range(2):  # unique values differ in each run
        statuses, fine = run(
            "Sign up", "Sign in: get an access token and a refresh token"
        )
        assert fine and set(statuses.values()) == {200, 201}
    statuses, fine = run("Replace your account; without a password, yours is kept")
    assert fine
    statuses, fine = run("account")
    assert fine and statuses.popitem() == ("Delete your account", 204)


def test_a_failing_request_is_reported(run):
    statuses, fine = run("users")  # which an ordinary account may not see
    assert statuses["List the accounts"] == 403 and not fine
