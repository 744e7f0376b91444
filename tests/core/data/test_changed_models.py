"""A line in models.py, `flask db migrate`, `flask deploy`: with rows in the tables.

Runs in a copy of the project that has sample features as its own, on SQLite and on the
server that TEST_DATABASE_URL names; there with a migration that was written on it, and
with one that was written on SQLite.
"""

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from flask_migrate import upgrade
from sqlalchemy import inspect, text

from conftest import LAMP, close_stores, empty_database
from myapp.core.data.migrations import current_revisions
from myapp.core.data.session import sql, unit_of_work
from myapp.roles.models import Role
from myapp.users.models import User
from support import ROOT
from support.copies import copy_code
from support.features.sample_chores.models import SampleChore
from support.features.sample_gadgets.models import SampleGadget
from support.forks import forks
from support.migrations import copy_migrations, differences_from_models

SERVER = os.environ.get("TEST_DATABASE_URL")
GADGETS, CHORES = "myapp/sample_gadgets/models.py", "myapp/sample_chores/models.py"
NAME = 'name=text(1, 64, "The name that its owner uses.", "Reading lamp"),'
SERIAL = '        serial_number=text(1, 64, "The vendor\'s number.", "LUM-00017"),\n'
ABOUT = 'gadget=optional(reference("The gadget that it is about.")),'
HELPERS = "import Owned, SqlModel, dumps, request_schema, text"
TARGETS = '{"gadget": SampleGadget'
KINDS = """\
        a=optional(text(1, 20, "A.", "a")),
        b=optional(integer(1, 20, "B.", 7)),
        c=optional(number(1, 20, "C.", 7)),
        d=boolean("D.", default=False),
        e=optional(date_time("E.")),
        f=optional(date("F.")),
        g=optional(enum("G.", "new", "used")),
        h={**enum("H.", "it's", "not"), "default": "it's"},
        i={**integer(1, 20, "I.", 7), "default": 7},
"""
# What is longer, and a new property of each kind that may be left out.
ADDED = {
    GADGETS: [
        (NAME, NAME.replace("64", "80")),
        (SERIAL, SERIAL + KINDS),
        (
            HELPERS,
            f"{HELPERS}, boolean, date, date_time, enum, integer, number, optional",
        ),
    ],
    CHORES: [
        (ABOUT, f'{ABOUT} spare=optional(reference("Another one.")),'),
        (TARGETS, f'{TARGETS}, "spare": SampleGadget'),
    ],
}
FILLED = dict.fromkeys("abcdefg") | {"d": False, "h": "it's", "i": 7}
REQUIRED = [
    (SERIAL, f'{SERIAL}        floor=integer(0, 99, "On which floor.", 2),\n'),
    (HELPERS, "import Owned, SqlModel, dumps, integer, request_schema, text"),
]
IMPORT, MOUNT = "from .sample_{0} import {0}\n", "    {},\n"
NAMES = "gadgets", "chores", "files"
FEATURES, ROLES = "FEATURES = (\n", "from .roles import roles\n"
WITH_SAMPLES = [
    (FEATURES, FEATURES + "".join(map(MOUNT.format, NAMES))),
    (ROLES, "".join(map(IMPORT.format, NAMES)) + ROLES),
]
WITHOUT_CHORES = [(MOUNT.format("chores"), ""), (IMPORT.format("chores"), "")]
GONE = {
    GADGETS: [(SERIAL, "")],
    CHORES: [(ABOUT, ""), ('    references = {"gadget": SampleGadget}', "")],
}
CHORE = {"name": "Look", "task": "at it", "gadget": 1}
WHERE = ["SQLite", "server", "server, written on SQLite"]


@pytest.fixture(params=WHERE if SERVER else WHERE[:1])
def project(request, make_app, redis_url, tmp_path):
    """Yield a copy of the project with gadgets and chores; its database has one of each."""
    server = None if request.param == "SQLite" else SERVER
    folder = tmp_path / "copy"
    copy_code(ROOT / "myapp", folder / "myapp")
    for name in NAMES:
        source = ROOT / f"tests/support/features/sample_{name}"
        copy_code(source, folder / "myapp" / source.name)
    shutil.copy(ROOT / "default_config.py", folder)
    copy_migrations(folder / "migrations")
    edit(folder, {"myapp/__init__.py": WITH_SAMPLES})
    with empty_database(tmp_path, server) as uri:
        app = make_app(SQLALCHEMY_DATABASE_URI=uri)
        with app.app_context():
            upgrade()
            with unit_of_work():
                Role.ensure_builtin_roles()
                owner = {"owner_id": User.create("gardener", "tulips & roses").id}
                assert SampleGadget.create(**owner, **LAMP).id == 1
                SampleChore.create(**owner, **SampleChore.body.validate(CHORE))
        environment = {**os.environ, "DATABASE_URL": uri, "REDIS_URL": redis_url}
        environment |= {"FLASK_APP": "myapp", "INSTANCE_PATH": str(tmp_path)}
        environment |= {"FLASK_CONFIG": "development", "PYTHONPATH": ""}
        writer = {}
        if request.param == WHERE[2]:
            writer["DATABASE_URL"] = f"sqlite:///{tmp_path}/writer.sqlite3"
            command = [sys.executable, "-m", "flask", "db", "upgrade"]
            subprocess.run(command, cwd=folder, env=environment | writer, check=True)
        with forks(folder, environment) as run_module:

            def run(*words, code=0, **variables):
                ended, output = run_module(*words, **variables)
                assert ended == code, output
                return output

            yield SimpleNamespace(app=app, folder=folder, run=run, writer=writer)
        close_stores(app)


def edit(folder, edits):
    for name, pairs in edits.items():
        path = folder / name
        changed = path.read_text()
        for before, after in pairs:
            assert changed.count(before) == 1, before
            changed = changed.replace(before, after)
        path.write_text(changed)


def new_migration(project):
    """Run `flask db migrate` and return its output and the new file."""
    there = set(project.folder.glob("migrations/versions/*.py"))
    command = ("flask", "db", "migrate", "-m", "another shape")
    result = project.run(*command, **project.writer)
    (new,) = set(project.folder.glob("migrations/versions/*.py")) - there
    return result, new


def deploy(project):
    """Run `flask deploy`, and check that the tables are those of the models."""
    project.run("flask", "deploy")
    assert "No new upgrade operations" in project.run("flask", "db", "check")


def only(app, statement):
    """Return the only row of the table, as a dictionary."""
    with app.app_context(), sql.engine.connect() as connection:
        return dict(connection.execute(text(statement)).mappings().one())


def changes(app):
    """Return the changes that Alembic still finds between our models and the database."""
    with app.app_context(), sql.engine.connect() as connection:
        return differences_from_models(connection)


SHOW = """
from myapp import create_app
from myapp.sample_gadgets.models import SampleGadget
app = create_app("development")
with app.test_request_context():
    record = SampleGadget.as_json(SampleGadget.get_or_404(1))
    print({name: value for name, value in record.items() if len(name) == 1})
"""


def test_existing_rows_get_the_new_columns(project):
    """And the release before, which runs still, can live with it."""
    running = project.folder.parent / "running"
    running.mkdir()
    (running / ".venv").symlink_to(sys.prefix)
    copy_code(project.folder / "myapp", running / "myapp")
    (running / "default_config.py").symlink_to(ROOT / "default_config.py")
    edit(project.folder, ADDED)
    result, file = new_migration(project)
    assert "is required" not in result
    project.run("black", "--check", "--quiet", str(file))
    project.run("flake8", "--max-line-length=92", str(file))
    result = project.run("flask", "gate", str(running))
    assert result == "This release can work with these tables.\n"
    project.run("flask", "deploy")
    with project.app.app_context(), unit_of_work():
        owner_id = User.find("gardener").id
        assert SampleGadget.create(owner_id=owner_id, **LAMP).id == 2
    assert "No new upgrade operations" in project.run("flask", "db", "check")
    (project.folder / "show.py").write_text(SHOW)
    assert project.run("show").strip() == str(dict(sorted(FILLED.items())))
    chore = only(project.app, "SELECT name, gadget, spare FROM sample_chores")
    assert chore == {"name": "Look", "gadget": 1, "spare": None}
    project.run("flask", "db", "downgrade")
    assert only(project.app, "SELECT name, gadget FROM sample_chores")["gadget"] == 1


def test_duplicates_of_a_new_unique_value_are_reported_clearly(project):
    sortable = '    sortable = ("id", "name", "done", '
    edit(project.folder, {CHORES: [(sortable, f'    unique = ("name",)\n{sortable}')]})
    _, file = new_migration(project)
    project.run("flake8", "--max-line-length=92", str(file))
    deploy(project)
    assert only(project.app, "SELECT gadget FROM sample_chores") == {"gadget": 1}


def test_a_required_column_without_a_default_is_refused(project):
    edit(project.folder, {GADGETS: REQUIRED})
    wanted = "make it optional(…), or write a server_default into the migration."
    result, file = new_migration(project)
    reason = "is required, but existing rows have no value for it: "
    assert f"sample_gadgets.floor {reason}{wanted}" in result
    with project.app.app_context():
        before = current_revisions()
    result = project.run("flask", "deploy", code=1)
    reason = "is required, but sample_gadgets has rows: "
    assert f"sample_gadgets.floor {reason}{wanted}" in result
    assert "Traceback" not in result
    with project.app.app_context():
        assert current_revisions() == before
    column = 'sa.Column("floor", sa.BigInteger(), nullable=False'
    written = file.read_text()
    assert written.count(column) == 1
    file.write_text(written.replace(column, f'{column}, server_default="2"'))
    deploy(project)
    assert only(project.app, "SELECT floor FROM sample_gadgets") == {"floor": 2}


def test_a_dropped_column_removes_nothing_else(project):
    edit(project.folder, GONE)
    _, file = new_migration(project)
    deploy(project)
    row = only(project.app, "SELECT * FROM sample_gadgets")
    assert row["name"] == LAMP["name"] and "serial_number" not in row
    assert "gadget" not in only(project.app, "SELECT * FROM sample_chores")
    with project.app.app_context(), unit_of_work():
        sql.session.execute(text("DELETE FROM sample_chores"))
        sql.session.execute(text("DELETE FROM sample_gadgets"))
    project.run("flask", "db", "downgrade")
    assert changes(project.app) == []


def test_a_table_that_is_dropped_can_come_back_on_every_database(project):
    edit(project.folder, {"myapp/__init__.py": WITHOUT_CHORES})
    new_migration(project)
    project.run("flask", "deploy")
    with project.app.app_context():
        assert "sample_chores" not in inspect(sql.engine).get_table_names()
    project.run("flask", "db", "downgrade")
    assert changes(project.app) == []
    with project.app.app_context(), unit_of_work():
        owner = {"owner_id": User.find("gardener").id}
        chore = SampleChore.create(**owner, **SampleChore.body.validate(CHORE))
        assert chore.id == 1
