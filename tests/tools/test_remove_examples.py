"""`flask empty-house`: what it says fits this project, and what it does to a test.
tests/own/ has the whole of it."""

import os
import re
import shutil
from pathlib import Path

import pytest
from click import ClickException

from myapp import FEATURES
from myapp.core.openapi.document import TITLE
from support.repositories import committed, git, put, state
from tools import remove_examples, repository

# Whoever has added slices goes on with the registry, and edits what would be replaced.
SAID = remove_examples.plan(repository.ROOT)
MORE = {feature.name for feature in FEATURES} - remove_examples.STAY - {*SAID["SLICES"]}
pytestmark = pytest.mark.skipif(bool(MORE), reason="there are more slices than came")
README = (repository.ROOT / "README.md").read_text("utf-8")
SPEAKS = re.compile(SAID["SPEAKS"], re.IGNORECASE)


@pytest.mark.parametrize("name", SAID["EDITS"])
def test_each_text_that_is_replaced_stands_once_in_its_file(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(repository.ROOT / name, path)
    remove_examples.edit(tmp_path, {name: SAID["EDITS"][name]})


@pytest.mark.parametrize("name, pattern", SAID["LINES"])
def test_each_pattern_fits_some_line(tmp_path, name, pattern):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(repository.ROOT / name, path)
    remove_examples.cut_lines(tmp_path, name, pattern)
    with pytest.raises(ClickException, match="no line that fits"):
        remove_examples.cut_lines(tmp_path, name, pattern)


@pytest.mark.parametrize("name", SAID["GONE"])
def test_whatever_goes_is_there(name):
    assert (repository.ROOT / name).exists()


def test_what_the_readme_says_is_true_without_what_goes(tmp_path):
    for name in ("README.md", "Makefile"):
        shutil.copy(repository.ROOT / name, tmp_path)
        remove_examples.edit(tmp_path, {name: SAID["EDITS"][name]})
        for file, pattern in SAID["LINES"]:
            if file == name:
                remove_examples.cut_lines(tmp_path, file, pattern)
    readme, makefile = ((tmp_path / n).read_text() for n in ("README.md", "Makefile"))
    assert not SPEAKS.findall(readme.replace(TITLE, ""))
    for target in re.findall(r"(?:`|^)make ([a-z]+)", readme, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for path in re.findall(
        r"`((?:docs|tests|deploy)/[^`]*)`|\]\((?!http)(.*?)\)", readme
    ):
        named = "".join(path)
        assert (repository.ROOT / named).exists(), named
        assert not named.startswith(tuple(SAID["GONE"])), named
    headings = re.findall(r"^## (.*)", readme, re.MULTILINE)
    assert len(headings) == len(re.findall("^## ", README, re.MULTILINE)) - 2


def test_what_does_not_go_is_five_slices():
    left = {feature.name for feature in FEATURES} - set(SAID["SLICES"])
    assert left >= {"status", "auth", "account", "users", "roles"}


@pytest.fixture
def clone(tmp_path):
    """A repository that can be emptied, but for one text that it does not have."""
    git(tmp_path, "init", "--quiet")
    put(tmp_path, "a.py", "A = 1\n")
    put(tmp_path, "b.py", "B = 1\n")
    put(tmp_path, "empty/files/c.py", "C = 1\n")
    said = 'GONE, LINES, SPEAKS, TITLE, MADE = ["b.py"], [], "b", "B", {}\n'
    edits = 'EDITS = {"a.py": [("A = 1", "A = 2"), ("A = 3", "")]}\n'
    slices = f"SLICES = {SAID['SLICES']}\n"
    put(tmp_path, "empty/edits.py", slices + said + edits)
    committed(tmp_path)
    return tmp_path


def test_a_text_that_does_not_fit_is_named_and_nothing_happens(clone):
    before = state(clone)
    with pytest.raises(
        ClickException, match="a.py has this 0 times, not once: 'A = 3'"
    ):
        remove_examples.empty(clone)
    assert state(clone) == before


def test_a_file_that_is_not_there_is_named_and_nothing_happens(clone):
    edits = clone / "empty/edits.py"
    edits.write_text(
        edits.read_text().replace(', ("A = 3", "")', "").replace("b.", "d.")
    )
    committed(clone)
    before = state(clone)
    with pytest.raises(ClickException, match="d.py is not there"):
        remove_examples.empty(clone)
    assert state(clone) == before


def test_what_waits_to_be_committed_is_in_the_way(app, clone, monkeypatch):
    monkeypatch.setattr(repository, "ROOT", clone)
    put(clone, "a.py", "A = 2\n")
    told = app.test_cli_runner().invoke(args=["empty-house"])
    assert told.exit_code == 1
    assert "Error: Commit first" in told.output


def test_a_database_that_was_made_before_is_named(app, clone, monkeypatch, tmp_path):
    monkeypatch.setattr(repository, "ROOT", clone)
    edits = clone / "empty/edits.py"
    edits.write_text(edits.read_text().replace(', ("A = 3", "")', ""))
    put(clone, ".gitignore", "/instance/\n")
    committed(clone)
    monkeypatch.setattr(app, "instance_path", str(clone / "instance/here"))
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{clone}/instance/ours"
    there = ["here/former.sqlite3", "here/former.sqlite3-wal", "ours", "ours-shm"]
    for name in (*there, "notes"):
        put(clone, f"instance/{name}", "")
    told = app.test_cli_runner().invoke(args=["empty-house"])
    assert told.exit_code == 0, told.output
    paths = re.findall("^Yours to move away.*: (.*)$", told.output, re.MULTILINE)
    assert paths == [f"{clone}/instance/{name}" for name in there]
    assert all(map(os.path.exists, paths))


CONFTEST = """\
import pytest

LAMP = {"name": "Lamp"}
ADDRESS = "/api"


@pytest.fixture
def device(client):
    return client.post("/api/devices/", json=LAMP)


@pytest.fixture
def lamp(device):
    return device


@pytest.fixture
def client():
    return ADDRESS


@pytest.fixture(autouse=True)
def for_all():
    yield


"""
HELPERS = """\
def heartbeat(client):
    return client


def twice(number):
    return 2 * number
"""
TESTS = '''\
"""Of devices, and others."""

import json
from datetime import UTC, datetime

import pytest
from conftest import LAMP
from helpers import heartbeat, twice

DEVICES = "/api/devices/"  # what only one test asks for
PLACES = [
    "/api/users/",
    DEVICES,
    "/api/todos/",
]
NOW = datetime.now(UTC)

# Of devices


# What only that test used.
def shown(found):
    return json.dumps(found)  # all of it


@pytest.mark.parametrize("verb", ["GET", "HEAD"])
def test_it_is_there(client, verb):
    assert shown(client.open(DEVICES, method=verb, json=LAMP)) < NOW


def test_it_asks_for_what_is_gone(device):
    assert device


def test_it_asks_for_what_asks_for_it(lamp):
    assert lamp


def test_it_asks_for_all(device, for_all):
    assert for_all is None


@pytest.mark.parametrize("thing", ["lamp"])
def test_it_asks_by_name(request, thing):
    assert request.getfixturevalue(thing)


def test_a_helper_that_is_gone(client):
    assert heartbeat(client)


# Of others


@pytest.mark.parametrize("path", [*PLACES])
def test_a_docstring_may_speak_of_them(client, path):
    """As of those: devices."""
    assert client.get(path) and twice(1)


@pytest.mark.parametrize("word", ["a", "device", "todo"])
def test_a_case_goes_and_the_others_stay(word):
    assert word


@pytest.mark.parametrize("word", ["device"])
def test_without_a_case_it_goes(word):
    assert word
'''
LEFT = '''\
"""Of devices, and others."""

import pytest
from helpers import twice

PLACES = [
    "/api/users/",
]

# Of others


@pytest.mark.parametrize("path", [*PLACES])
def test_a_docstring_may_speak_of_them(client, path):
    """As of those: devices."""
    assert client.get(path) and twice(1)


@pytest.mark.parametrize("word", ["a"])
def test_a_case_goes_and_the_others_stay(word):
    assert word
'''


def forgotten(folder, **files):
    """These files, without what speaks of what is gone."""
    paths = [folder / f"{name}.py" for name in files]
    for path, text in zip(paths, files.values()):
        path.write_text(text)
    remove_examples.forget_tests(paths, SPEAKS)
    return [re.sub(r"\n{3,}", "\n\n\n", p.read_text()) for p in paths if p.exists()]


def test_what_speaks_of_what_is_gone_goes_with_all_that_only_it_used(tmp_path):
    conftest, helpers, tests = forgotten(
        tmp_path, conftest=CONFTEST, helpers=HELPERS, test_it=TESTS
    )
    assert re.sub(r"\n{2,}", "\n\n", tests) == re.sub(r"\n{2,}", "\n\n", LEFT)
    assert "def twice" in helpers and "heartbeat" not in helpers
    assert (
        "def for_all" in conftest and "def client" in conftest and "ADDRESS" in conftest
    )
    assert "device" not in conftest and "LAMP" not in conftest


def test_a_file_without_a_test_goes(tmp_path):
    text = "def test_a_todo():\n    assert 1\n"
    assert forgotten(tmp_path, test_it=text) == []


def test_a_file_that_speaks_of_nothing_gone_stays_to_the_letter(tmp_path):
    text = "import json  # unused\nA  =  1\n\ndef test_a(): assert 1\n"
    assert forgotten(tmp_path, test_it=text) == [text]


def test_the_overlay_is_of_files_that_are_there():
    folder = repository.ROOT / "empty/files"
    for path in folder.rglob("*.md"):
        assert (
            repository.ROOT / path.relative_to(folder)
        ).exists() or path.parent != Path()
