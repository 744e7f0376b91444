"""`flask remove-examples`, in a clone of the project."""

import json
import re

import pytest
from sqlalchemy import create_engine, inspect, text

from support import ROOT
from support.clone import Clone
from support.repositories import commit_all, git, repository_state, write_file
from tools import remove_examples, repository
from tools.remove_examples import EXAMPLES, PACKAGE

pytestmark = pytest.mark.skipif(
    not all((ROOT / PACKAGE / name).is_dir() for name in EXAMPLES),
    reason="the examples are removed",
)
TABLES = {"devices", "imports", "import_faults", "todos"}


@pytest.fixture(scope="module")
def removed(tmp_path_factory):
    """Return a clone without the examples; `output` is the output of the command."""
    clone = Clone(tmp_path_factory.mktemp("removed") / "clone")
    clone.output = clone.flask("remove-examples")
    return clone


@pytest.fixture
def small_clone(tmp_path, monkeypatch):
    """Return a git repository with one file, where the command works."""
    git(tmp_path, "init", "--quiet")
    write_file(tmp_path, f"{PACKAGE}/__init__.py", "")
    commit_all(tmp_path)
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    return tmp_path


def migration_of(clone):
    """Return the text of the migration that the command has written."""
    staged = clone.run("git", "diff", "--name-only", "--diff-filter=A", "HEAD").split()
    (file,) = staged
    assert file.startswith("migrations/versions/")
    return (clone.folder / file).read_text("utf-8")


@pytest.mark.no_database
def test_nothing_in_the_code_names_an_example_any_more(removed):
    for name in EXAMPLES:
        assert not (removed.folder / PACKAGE / name).exists()
        for file in (f"{PACKAGE}/__init__.py", ".importlinter"):
            code = (removed.folder / file).read_text("utf-8")
            assert not re.search(rf"\.{name}\b| {name},", code)
    table = (removed.folder / "tests/authorization.txt").read_text("utf-8")
    rows = [line.split() for line in table.splitlines() if line[:1].isupper()]
    addresses = {address.partition("/")[0] for _, address, *_ in rows}
    assert addresses > {"users", "roles"} and not addresses & {*EXAMPLES}
    assert "devices" not in table
    removed.run(".venv/bin/lint-imports", "--no-cache")
    assert removed.run("git", "diff", "--name-only") == ""  # everything is staged


@pytest.mark.no_database
def test_the_document_is_up_to_date(removed):
    written = (removed.folder / "openapi.json").read_text("utf-8")
    assert written == removed.flask("openapi")
    paths = json.loads(written)["paths"]
    assert "/api/v1/users" in paths and "/api/v1/devices" not in paths


@pytest.mark.no_database
def test_the_generated_pages_are_up_to_date(removed):
    removed.flask("reference")
    assert removed.run("git", "diff", "--name-only") == ""
    assert "export-devices" not in (removed.folder / "docs/commands.md").read_text()


@pytest.mark.no_database
def test_the_command_says_what_is_left_to_do(removed):
    assert "The examples are removed: " in removed.output
    assert "drops their tables: flask deploy" in removed.output
    assert "\n  README.md\n" in removed.output
    assert f"\n  {PACKAGE}/__init__.py\n" not in removed.output


def test_deploy_drops_the_tables_of_an_existing_database(
    removed, empty_uri, redis_url, tmp_path
):
    stores = {"DATABASE_URL": empty_uri, "REDIS_URL": redis_url}
    environment = {**stores, "INSTANCE_PATH": str(tmp_path)}
    before = removed.flask("init-db", cwd=ROOT, **environment)
    assert "2 users\n" in before and "4 todos\n" in before
    engine = create_engine(empty_uri)

    def tables():
        return set(inspect(engine).get_table_names())

    try:
        assert tables() > TABLES
        assert "Ready" in removed.flask("deploy", **environment)
        assert tables().isdisjoint(TABLES)
        with engine.connect() as connection:
            roles = connection.scalars(text("SELECT permissions FROM roles")).all()
            assert connection.scalar(text("SELECT count(*) FROM users")) == 2
        assert not any("devices" in str(permissions) for permissions in roles)
        assert "No new upgrade" in removed.flask("db", "check", **environment)
        removed.flask("db", "downgrade", **environment)
        assert tables() > TABLES
        assert "Ready" in removed.flask("deploy", **environment)
        assert tables().isdisjoint(TABLES)
    finally:
        engine.dispose()


@pytest.mark.no_database
def test_examples_that_were_deleted_by_hand_are_skipped(tmp_path):
    clone = Clone(tmp_path / "clone")
    for name in ("imports", "todos"):
        clone.delete(f"{PACKAGE}/{name}")
        clone.edit(f"{PACKAGE}/__init__.py", rf"from \.{name} import", rf" +{name},")
    clone.commit()
    assert "The examples are removed: " in clone.flask("remove-examples")
    dropped = re.findall(r'op\.drop_table\("(\w+)"\)', migration_of(clone))
    assert {*dropped} == TABLES
    for table, other in (("import_faults", "imports"), ("todos", "devices")):
        assert dropped.index(table) < dropped.index(other)  # it refers to that one
    clone.commit()
    assert clone.flask("remove-examples") == "There is nothing to remove.\n"


def check_refused(app, clone, message):
    """Check that the command ends with `message`, and that it changes nothing."""
    before = repository_state(clone)
    result = app.test_cli_runner().invoke(args=["remove-examples"])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)  # no traceback
    assert message in result.output and "Traceback" not in result.output
    assert repository_state(clone) == before


@pytest.mark.no_database
@pytest.mark.parametrize(
    "statement",
    [
        "from ..devices.models import Device",
        f"from {PACKAGE}.todos import todos",
        f"import {PACKAGE}.presence.models",
        "from .. import roles, imports",
    ],
)
def test_an_example_that_another_feature_imports_stays(app, small_clone, statement):
    write_file(small_clone, f"{PACKAGE}/shop/models.py", f"import csv\n{statement}\n")
    write_file(small_clone, f"{PACKAGE}/shop/imports.py", "from .devices import a\n")
    commit_all(small_clone)
    statements = f"  {PACKAGE}/shop/models.py: {statement}\n"
    check_refused(app, small_clone, f"Change them first:\n{statements}")


@pytest.mark.no_database
def test_a_tree_that_is_not_clean_is_refused(app, small_clone):
    write_file(small_clone, "new.txt", "not committed")
    check_refused(app, small_clone, "Commit or stash")


@pytest.mark.no_database
def test_nothing_is_changed_if_the_remaining_project_does_not_start(app, small_clone):
    write_file(small_clone, f"{PACKAGE}/devices/models.py", "")
    commit_all(small_clone)
    error = "Error: Without the examples, flask fails; nothing was changed: "
    check_refused(app, small_clone, error)


@pytest.mark.no_database
def test_a_migration_with_other_changes_is_refused(app, small_clone, monkeypatch):
    migration = "def upgrade():\n    op.drop_table('a')\n    op.add_column('b')\n"
    script = f'mkdir migrations; echo "{migration}" > migrations/new.py'
    monkeypatch.setattr(remove_examples, "GENERATE", script)
    check_refused(app, small_clone, "differ from the migrations (add_column)")
