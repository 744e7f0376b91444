"""`flask rename-project`: its refusals, and the changes to a few files.

tests/template renames the whole project.
"""

import os

import pytest
from click import ClickException

import myapp
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
def clone(tmp_path):
    """Return a repository with a few files."""
    git(tmp_path, "init", "--quiet")
    for file in SOME:
        write_file(tmp_path, file, (repository.ROOT / file).read_text("utf-8"))
    write_file(tmp_path, ".gitignore", "instance/\n.env\n__pycache__/\n")
    commit_all(tmp_path)
    return tmp_path


def rename(folder, old=OLD, new=NEW, title="Corner office"):
    rename_project.rename(folder, old, new, TITLE, title)


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
    assert repository.replace_words(before.format(*names), words) == after.format(
        *names
    )


def test_contents_files_and_folders_have_the_new_name(clone):
    write_file(clone, f"deploy/units/{OLD}-web.service", f"User={OLD}\r\n")
    write_file(clone, f"deploy/units/{OLD}-.service.d/own.conf", "")
    write_file(clone, "photo", "")
    (clone / "photo").write_bytes(b"\xff" + OLD.encode())
    (clone / "deploy/setup").chmod(0o755)
    commit_all(clone)
    write_file(clone, f"{OLD}/__pycache__/version.pyc", "made by Python")
    rename(clone)
    result = git(clone, "status", "--porcelain")
    assert f"R  {OLD}/version.py -> {NEW}/version.py" in result
    assert not (clone / OLD).exists()
    assert not (clone / f"deploy/units/{OLD}-.service.d").exists()
    unit = clone / f"deploy/units/{NEW}-web.service"
    assert unit.read_bytes() == f"User={NEW}\r\n".encode()
    assert (clone / "photo").read_bytes() == b"\xff" + OLD.encode()
    assert os.access(clone / "deploy/setup", os.X_OK)
    for name in SOME:
        file = clone / name.replace(OLD, NEW)
        assert OLD not in file.read_text("utf-8").lower(), file


def test_long_lines_are_wrapped_again(clone):
    rest = "x" * (89 - len(f'A = "{NEW}", ""'))
    write_file(clone, f"{OLD}/a.py", f'A = "{OLD}", "{rest}"\n')
    commit_all(clone)
    rename(clone)
    assert (clone / NEW / "a.py").read_text().startswith(f'A = (\n    "{NEW}",\n')


def test_a_renaming_can_be_reversed(clone):
    head = git(clone, "rev-parse", "HEAD^{tree}")
    rename(clone, title=TITLE)
    commit_all(clone)
    rename(clone, NEW, OLD, TITLE)
    assert git(clone, "write-tree") == head


def test_a_failure_leaves_nothing_behind(clone):
    write_file(clone, f"{OLD}/broken.py", "def")  # black cannot read it
    write_file(clone, ".env", f"{OLD.upper()}_PORT=1")
    git(clone, "add", "--all")
    commit_all(clone)
    before = repository_state(clone)
    with pytest.raises(ClickException, match="Black failed: .*broken.py"):
        rename(clone)
    assert repository_state(clone) == before


@pytest.mark.parametrize("file", ["README.md", "new.txt"])
def test_uncommitted_changes_are_refused(clone, file):
    write_file(clone, file, "not committed")
    before = repository_state(clone)
    with pytest.raises(ClickException, match="Commit or stash"):
        rename(clone)
    assert repository_state(clone) == before


@pytest.mark.parametrize("commands", [(), ("init",)])
def test_a_repository_without_a_commit_is_refused(tmp_path, monkeypatch, commands):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for command in commands:
        git(tmp_path, command, "--quiet")
    with pytest.raises(ClickException, match=r"works in a git repository.*\w\.?$"):
        rename(tmp_path)


REFUSED = {
    "Shop": "lower-case",
    "a-b": "lower-case",
    "2b": "lower-case",
    "_b": "lower-case",
    "a__b": "lower-case",
    "b_": "lower-case",
    "": "lower-case",
    "bé": "lower-case",
    "seventeen_letters": "more than 16",
    OLD: "has this name already",
    "yield": "Python's",
    "match": "Python's",
    "max": "Python's",
    "select": "SQL's",
    "order": "SQL's",
    "json": "module",
    "celery": "module",
    "workers": "folder",
    "migrations": "folder",
    "conftest": "folder",
    "copies": "folder",
    "root": "server",
    "nginx": "server",
    "redis": "server",
    "postgres": "server",
    "prometheus": "environment variables begin with PROMETHEUS_",
    "flask": "environment variables begin with FLASK_",
    "mint": "environment variables begin with MINT_",
    "env": "program",
}


@pytest.mark.parametrize("name, why", REFUSED.items())
def test_a_conflicting_name_is_refused(monkeypatch, name, why):
    monkeypatch.setenv("MINT_CONDITION", "1")
    files = ["Makefile", "tests/workers.py", "conftest.py", f"{OLD}/copies.py"]
    assert why in rename_project.name_problem(repository.ROOT, files, name, OLD)
    assert rename_project.name_problem(repository.ROOT, files, NEW, OLD) is None


@pytest.mark.parametrize(
    "line",
    ["def {}():", "class {}:", "{} = 1", "from a import b, {}", "import {} as c"],
)
def test_an_ambiguous_name_is_refused(tmp_path, line):
    write_file(tmp_path, "a.py", f"import {OLD}\n{line.format(NEW)}\n")
    write_file(tmp_path, "b.py", f"from {OLD} import a\n{line.format(NEW)}\n")
    assert "for something else" in rename_project.name_problem(
        tmp_path, ["a.py"], NEW, OLD
    )
    assert rename_project.name_problem(tmp_path, ["b.py"], NEW, OLD) is None


@pytest.mark.parametrize("title", ["", 'A "shop"', "100%", "a\nb", "x" * 41, "\\"])
def test_a_title_must_be_valid_in_every_file(app, title):
    run = app.test_cli_runner().invoke
    result = run(args=["rename-project", NEW, "--title", title])
    assert result.exit_code == 1
    assert "A title has up to 40 characters" in result.output


@pytest.mark.parametrize("name", ["", "pear/../x", "a\nb"])
def test_an_invalid_name_is_reported(app, name):
    result = app.test_cli_runner().invoke(args=["rename-project", name])
    assert result.exit_code == 1
    assert "cannot be the name: use lower-case letters" in result.output


def test_the_title_alone_may_change(app, clone, monkeypatch):
    monkeypatch.setattr(repository, "ROOT", clone)
    write_file(clone, "notes", "A corner.")
    commit_all(clone)
    run = app.test_cli_runner().invoke
    result = run(args=["rename-project", OLD, "--title", "A corner"])
    assert result.exit_code == 0, result.output
    assert f"{TITLE} is renamed to A corner: " in result.output
    assert "1 lines contained A corner before" in result.output
    assert (clone / "README.md").read_text("utf-8").startswith("# A corner\n")
    assert (clone / OLD / "version.py").exists()
    git(clone, "reset", "--hard", "--quiet")
    for words in ([], ["--title", TITLE]):
        result = run(args=["rename-project", OLD, *words])
        assert result.exit_code == 1 and "has this name already" in result.output


def test_compiled_files_do_not_block_a_name(app, clone, monkeypatch):
    monkeypatch.setattr(repository, "ROOT", clone)
    monkeypatch.syspath_prepend(clone)
    write_file(clone, f"{NEW}/users/__pycache__/models.pyc", "made by Python")
    result = app.test_cli_runner().invoke(args=["rename-project", NEW])
    assert result.exit_code == 0, result.output
    git(clone, "reset", "--hard", "--quiet")
    write_file(clone, f"{NEW}/instance/mine", "of another user")
    result = app.test_cli_runner().invoke(args=["rename-project", NEW])
    assert "a file or a folder of the project has this name" in result.output
    assert (clone / NEW / "instance/mine").exists()


def test_a_name_is_refused_before_anything_happens(app, clone, monkeypatch):
    monkeypatch.setattr(repository, "ROOT", clone)
    before = repository_state(clone)
    result = app.test_cli_runner().invoke(args=["rename-project", "tests"])
    assert result.exit_code == 1
    assert "Error: tests cannot be the name" in result.output
    assert repository_state(clone) == before


def test_the_output_lists_the_changes_and_the_next_steps(app, clone, monkeypatch):
    monkeypatch.setattr(repository, "ROOT", clone)
    monkeypatch.setattr(app, "instance_path", str(clone / "instance"))
    monkeypatch.setenv(f"{OLD.upper()}_PORT", "5055")
    write_file(clone, "notes", f"The {NEW}.")
    commit_all(clone)
    write_file(clone, ".env", f"{OLD.upper()}_PORT=5055\n")
    write_file(clone, f"instance/{OLD}.sqlite3", "")
    result = app.test_cli_runner().invoke(args=["rename-project", NEW])
    assert result.exit_code == 0, result.output
    assert f"{OLD} is renamed to {NEW}: {len(SOME)} files changed" in result.output
    assert f"1 lines contained {NEW} before" in result.output
    prefixes = f"Yours to change: {OLD.upper()}_ to {CAPITALS}_ in"
    assert f"{prefixes} {clone}/.env\n" in result.output
    assert f"{prefixes} your environment\n" in result.output
    assert f"{OLD}.sqlite3 to {NEW}.sqlite3\n" in result.output
    assert (clone / "README.md").read_text("utf-8").startswith("# Corner office\n")
    assert (clone / ".env").read_text() == f"{OLD.upper()}_PORT=5055\n"
    assert (clone / f"instance/{OLD}.sqlite3").exists()
