"""`flask rename-project`: its refusals, and the changes to a few files.

tests/template renames the whole project.
"""

import os
import re

import pytest

import myapp
from myapp.core.data.embedded_redis import start_redis
from support.repositories import commit_all, git, repository_state, write_file
from tools import rename_project, repository
from tools.rename_project import TITLE

OLD = myapp.__name__
NEW, CAPITALS = "corner_office", "CORNER_OFFICE"
SOME = (
    "README.md",
    "deploy/setup",
    "tests/core/observability/test_request_log.py",
    f"{OLD}/version.py",
)


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Return a repository with a few files, where the command works."""
    git(tmp_path, "init", "--quiet")
    for file in SOME:
        write_file(tmp_path, file, (repository.ROOT / file).read_text("utf-8"))
    write_file(tmp_path, ".gitignore", "instance/\n.env\n__pycache__/\n")
    commit_all(tmp_path)
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def rename(app):
    """Return a function that runs the command, and returns its output."""

    def run(*words, code=0):
        result = app.test_cli_runner().invoke(args=["rename-project", *words])
        assert result.exit_code == code, result.output
        assert code == 0 or isinstance(result.exception, SystemExit)  # no traceback
        return result.output

    return run


@pytest.mark.parametrize(
    "before, after",
    [
        ("{0}", "{2}"),
        ("{1}_SECRET_KEY", "{3}_SECRET_KEY"),
        ("{0}-web.service test_{0} .{0}.", "{2}-web.service test_{2} .{2}."),
        ("/srv/{0}/{0}.ini", "/srv/{2}/{2}.ini"),
        ("work{0} {0}s {0}2 é{0}", "work{0} {0}s {0}2 é{0}"),
    ],
)
def test_only_whole_words_are_replaced(before, after):
    words = {OLD: NEW, OLD.upper(): CAPITALS}
    names = (OLD, OLD.upper(), NEW, CAPITALS)
    expected = after.format(*names)
    assert rename_project.replace_words(before.format(*names), words) == expected


def test_contents_files_and_folders_have_the_new_name(clone, rename):
    write_file(clone, f"deploy/units/{OLD}-web.service", f"User={OLD}\r\n")
    write_file(clone, f"deploy/units/{OLD}-.service.d/own.conf", "")
    write_file(clone, f"nested_{OLD}/folder/text", "")
    write_file(clone, "photo", "")
    (clone / "photo").write_bytes(b"\xff" + OLD.encode())
    (clone / "deploy/setup").chmod(0o755)
    commit_all(clone)
    write_file(clone, f"{OLD}/__pycache__/version.pyc", "made by Python")
    rename(NEW)
    result = git(clone, "status", "--porcelain")
    assert f"R  {OLD}/version.py -> {NEW}/version.py" in result
    for folder in (OLD, f"deploy/units/{OLD}-.service.d", f"nested_{OLD}"):
        assert not (clone / folder).exists()
    unit = clone / f"deploy/units/{NEW}-web.service"
    assert unit.read_bytes() == f"User={NEW}\r\n".encode()
    assert (clone / "photo").read_bytes() == b"\xff" + OLD.encode()
    assert os.access(clone / "deploy/setup", os.X_OK)
    for name in SOME:
        file = clone / name.replace(OLD, NEW)
        assert OLD not in file.read_text("utf-8").lower(), file


def test_long_lines_are_wrapped_again(clone, rename):
    rest = "x" * (89 - len(f'A = "{NEW}", ""'))
    write_file(clone, f"{OLD}/a.py", f'A = "{OLD}", "{rest}"\n')
    commit_all(clone)
    rename(NEW)
    assert (clone / NEW / "a.py").read_text().startswith(f'A = (\n    "{NEW}",\n')


def test_a_renaming_can_be_reversed(clone, rename, monkeypatch):
    head = git(clone, "rev-parse", "HEAD^{tree}")
    rename(NEW, "--title", "Corner shop")
    commit_all(clone)
    monkeypatch.setattr(myapp, "__name__", NEW)
    monkeypatch.setattr(rename_project, "TITLE", "Corner shop")
    monkeypatch.setattr(rename_project, "name_problem", lambda *_: None)
    rename(OLD, "--title", TITLE)
    assert git(clone, "write-tree") == head


def test_nothing_is_renamed_while_the_service_runs(app, clone, rename):
    with start_redis(app.instance_path):
        assert "The service runs. Stop it first" in rename(NEW, code=1)
    assert git(clone, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    "name, committed, uncommitted, why",
    [
        (NEW, [f"{OLD}/broken.py"], [], "Black failed: .*broken.py"),
        (NEW, [f"a-{OLD}.txt", f"a-{NEW}.txt"], [], r"Git failed \(mv\): fatal: "),
        (NEW, ["a.txt"], ["README.md"], "Commit or stash"),
        (NEW, ["a.txt"], ["new.txt"], "Commit or stash"),
        ("tests", ["a.txt"], [], "tests cannot be the name"),
    ],
)
def test_a_failure_leaves_nothing_behind(
    clone, rename, name, committed, uncommitted, why
):
    for file in (".env", *committed):
        write_file(clone, file, "def")
    commit_all(clone)
    for file in uncommitted:
        write_file(clone, file, "not committed")
    before = repository_state(clone)
    assert re.match(f"Error: {why}", rename(name, code=1))
    assert repository_state(clone) == before


@pytest.mark.parametrize(
    "commands, path, why",
    [
        ((), None, "not a git repository"),
        (("init",), None, "does not have any commits yet"),
        ((), "", "git is not installed."),
    ],
)
def test_a_folder_without_a_commit_is_refused(
    tmp_path, monkeypatch, rename, commands, path, why
):
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for command in commands:
        git(tmp_path, command, "--quiet")
    if path is not None:
        monkeypatch.setenv("PATH", path)
    message = rename(NEW, code=1)
    assert message.startswith("Error: This command works in a git repository")
    assert why in message


@pytest.mark.parametrize(
    "names, why",
    [
        (("seventeen_letters",), "more than 16"),
        ((OLD,), "has this name already"),
        (("yield", "match", "max"), "Python's"),
        (("select", "order"), "SQL's"),
        (("json", "celery"), "module"),
        (("workers", "migrations", "conftest", "copies"), "folder"),
        (("root", "nginx", "redis", "postgres"), "server"),
        (("prometheus",), "environment variables begin with PROMETHEUS_"),
        (("flask",), "environment variables begin with FLASK_"),
        (("mint",), "environment variables begin with MINT_"),
        (("env",), "program"),
    ],
)
def test_a_conflicting_name_is_refused(monkeypatch, names, why):
    monkeypatch.setenv("MINT_CONDITION", "1")
    files = ["Makefile", "tests/workers.py", "conftest.py", f"{OLD}/copies.py"]
    for name in names:
        assert why in rename_project.name_problem(repository.ROOT, files, name, OLD)
    assert rename_project.name_problem(repository.ROOT, files, NEW, OLD) is None


@pytest.mark.parametrize(
    "line",
    ["def {}():", "class {}:", "{} = 1", "from a import b, {}", "import {} as c"],
)
def test_an_ambiguous_name_is_refused(tmp_path, line):
    write_file(tmp_path, "a.py", f"import {OLD}\n{line.format(NEW)}\n")
    write_file(tmp_path, "b.py", f"from {OLD} import a\n{line.format(NEW)}\n")
    problem = rename_project.name_problem(tmp_path, ["a.py", "b.py"], NEW, OLD)
    assert problem == "a.py uses it for something else"
    assert rename_project.name_problem(tmp_path, ["b.py"], NEW, OLD) is None


@pytest.mark.parametrize("title", ["", 'A "shop"', "100%", "a\nb", "x" * 41, "\\"])
def test_a_title_must_be_valid_in_every_file(rename, title):
    assert "A title has up to 40 characters" in rename(NEW, "--title", title, code=1)


@pytest.mark.parametrize(
    "name", ["", "pear/../x", "a\nb", "Shop", "a-b", "2b", "_b", "a__b", "b_", "bé"]
)
def test_an_invalid_name_is_reported(rename, name):
    message = rename("--", name, code=1)
    assert "cannot be the name: use lower-case letters" in message


def test_the_title_alone_may_change(clone, rename):
    write_file(clone, "notes", "A corner.")
    commit_all(clone)
    output = rename(OLD, "--title", "A corner")
    assert f"{TITLE} is renamed to A corner: " in output
    assert "1 lines contained A corner before" in output
    assert (clone / "README.md").read_text("utf-8").startswith("# A corner\n")
    assert (clone / OLD / "version.py").exists()
    git(clone, "reset", "--hard", "--quiet")
    for words in ([], ["--title", TITLE]):
        assert "has this name already" in rename(OLD, *words, code=1)


def test_compiled_files_do_not_block_a_name(clone, rename, monkeypatch):
    monkeypatch.syspath_prepend(clone)
    write_file(clone, f"{NEW}/users/__pycache__/models.pyc", "made by Python")
    rename(NEW)
    git(clone, "reset", "--hard", "--quiet")
    write_file(clone, f"{NEW}/instance/mine", "of another user")
    message = rename(NEW, code=1)
    assert "a file or a folder of the project has this name" in message
    assert (clone / NEW / "instance/mine").exists()


def test_the_output_lists_the_changes_and_the_next_steps(
    app, clone, rename, monkeypatch
):
    monkeypatch.setattr(app, "instance_path", str(clone / "instance"))
    monkeypatch.setenv(f"{OLD.upper()}_PORT", "5055")
    write_file(clone, "notes", f"The {NEW}.")
    commit_all(clone)
    write_file(clone, ".env", f"{OLD.upper()}_PORT=5055\n")
    write_file(clone, f"instance/{OLD}.sqlite3", "")
    output = rename(NEW)
    prefixes = f"Yours to change: {OLD.upper()}_ to {CAPITALS}_ in"
    for expected in (
        f"{OLD} is renamed to {NEW}: {len(SOME)} files changed",
        f"1 lines contained {NEW} before",
        f"{prefixes} {clone}/.env\n",
        f"{prefixes} your environment\n",
        f"{OLD}.sqlite3 to {NEW}.sqlite3\n",
    ):
        assert expected in output
    assert (clone / "README.md").read_text("utf-8").startswith("# Corner office\n")
    assert (clone / ".env").read_text() == f"{OLD.upper()}_PORT=5055\n"
    assert (clone / f"instance/{OLD}.sqlite3").exists()
