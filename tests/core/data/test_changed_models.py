"""A line in models.py, `flask db migrate`, `flask deploy`: with rows in the tables.

Runs in a copy of the project, on SQLite and on the server that TEST_DATABASE_URL names;
there with a migration that was written on it, and with one that was written on SQLite.
"""

import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from flask_migrate import upgrade
from sqlalchemy import inspect, text
from support import ROOT
from support.discovery import MODELS, parent_of, references_of

from conftest import THERMOSTAT, close, empty_database
from myapp.core.data.alembic_hooks import unlike_the_models
from myapp.core.data.migrations import migrated
from myapp.core.data.session import sql, unit_of_work
from myapp.devices.models import Device
from myapp.roles.models import Role
from myapp.todos.models import Todo
from myapp.users.models import User

SERVER = os.environ.get("TEST_DATABASE_URL")
DEVICES, TODOS = "myapp/devices/models.py", "myapp/todos/models.py"
NAME = 'name=text(1, 64, "What its owner calls it.", "Kitchen Thermostat"),'
SERIAL = (
    '        serial_number=text(1, 64, "What the vendor calls it.", "ACOV-09494"),\n'
)
ABOUT = 'device=optional(reference("The device that it is about.")),'
HELPERS = "import MOMENT, Owned, SqlModel, dumps, reading, sql, text, writing"
# What is longer, and a new property of each kind that may be left out.
ADDED = {
    DEVICES: [
        (NAME, NAME.replace("64", "80")),
        (
            SERIAL,
            SERIAL + 'a=optional(text(1, 20, "A.", "a")),'
            'b=optional(integer(1, 20, "B.", 7)),'
            'c=optional(number(1, 20, "C.", 7)),'
            'd=flag("D.", default=False),'
            'e=optional(moment("E.")),'
            'f=optional(day("F.")),'
            'g=optional(choice("G.", "new", "used")),'
            'h={**choice("H.", "it\'s", "not"), "default": "it\'s"},'
            'i={**integer(1, 20, "I.", 7), "default": 7},\n',
        ),
        (
            HELPERS,
            HELPERS + ", choice, day, flag, integer, moment, number, optional",
        ),
    ],
    TODOS: [
        (ABOUT, f'{ABOUT} spare=optional(reference("Another one.")),'),
        ('{"device": Device}', '{"device": Device, "spare": Device}'),
    ],
}
FILLED = {
    **dict.fromkeys("abcg"),
    **{"d": False, "e": None, "f": None, "h": "it's", "i": 7},
}
REQUIRED = [
    (SERIAL, f'{SERIAL}        floor=integer(0, 99, "On which floor.", 2),\n'),
    (HELPERS, f"{HELPERS}, integer"),
]
WITHOUT_TODOS = [("from .todos import todos\n", ""), ("    todos,\n", "")]
GONE = {
    DEVICES: [(SERIAL, "")],
    TODOS: [(ABOUT, ""), ('    references = {"device": Device}', "")],
}


WHERE = ["SQLite", "server", "server, written on SQLite"]


@pytest.fixture(params=WHERE if SERVER else WHERE[:1])
def project(request, make_app, redis_url, tmp_path):
    """A copy of the project, and its database with a device and a to-do about it."""
    server = None if request.param == "SQLite" else SERVER
    folder = tmp_path / "copy"
    unlike = shutil.ignore_patterns("__pycache__")
    for name in ("myapp", "migrations"):
        shutil.copytree(ROOT / name, folder / name, ignore=unlike)
    shutil.copy(ROOT / "default_config.py", folder)
    with empty_database(tmp_path, server) as uri:
        app = make_app(SQLALCHEMY_DATABASE_URI=uri)
        with app.app_context():
            upgrade()
            with unit_of_work():
                Role.build_in()
                owner = {"owner_id": User.create("gardener", "tulips & roses").id}
                device = Device.create(**owner, **THERMOSTAT).id
                body = {"name": "Look", "task": "at it", "device": device}
                Todo.create(**owner, **Todo.body.check(body))
        environment = {**os.environ, "DATABASE_URL": uri, "REDIS_URL": redis_url}
        environment |= {"FLASK_APP": "myapp", "INSTANCE_PATH": str(tmp_path)}
        environment |= {"FLASK_CONFIG": "development", "PYTHONPATH": ""}

        def run(*words, code=0, **more):
            done = subprocess.run(
                [sys.executable, "-m", *words],
                **{"cwd": folder, "env": environment | more, "text": True},
                capture_output=True,
            )
            told = done.stdout + done.stderr
            assert done.returncode == code, told
            return told

        writer = {}
        if request.param == WHERE[2]:
            writer["DATABASE_URL"] = f"sqlite:///{tmp_path}/writer.sqlite3"
            run("flask", "db", "upgrade", **writer)
        yield SimpleNamespace(app=app, folder=folder, run=run, writer=writer)
        close(app)


def edit(project, edits):
    for name, pairs in edits.items():
        path = project.folder / name
        changed = path.read_text()
        for before, after in pairs:
            pattern = before if isinstance(before, re.Pattern) else re.escape(before)
            changed, count = re.subn(pattern, after, changed)
            assert count == 1, before
        path.write_text(changed)


def new_migration(project):
    """What `flask db migrate` says, and the file that it writes."""
    there = set(project.folder.glob("migrations/versions/*.py"))
    told = project.run(
        "flask", "db", "migrate", "-m", "another shape", **project.writer
    )
    (new,) = set(project.folder.glob("migrations/versions/*.py")) - there
    return told, new


def only(app, statement):
    """The only row that there is, as a dictionary."""
    with app.app_context(), sql.engine.connect() as connection:
        return dict(connection.execute(text(statement)).mappings().one())


def changes(app):
    """What our own models would still have to change."""
    with app.app_context(), sql.engine.connect() as connection:
        return unlike_the_models(connection)


SHOW = """
from myapp import create_app
from myapp.devices.models import Device
app = create_app("development")
with app.test_request_context():
    record = Device.as_json(Device.get_or_404(1))
    print({name: value for name, value in record.items() if len(name) == 1})
"""


def test_what_is_new_comes_to_the_rows_that_are_there(project):
    """And the release before, which runs still, can live with it."""
    running = project.folder.parent / "running"
    running.mkdir()
    (running / ".venv").symlink_to(sys.prefix)
    for name in ("myapp", "default_config.py"):
        (running / name).symlink_to(ROOT / name)
    edit(project, ADDED)
    told, file = new_migration(project)
    assert "must be filled" not in told
    project.run("black", "--check", "--quiet", str(file))
    project.run("flake8", "--max-line-length=92", str(file))
    told = project.run("flask", "gate", str(running))
    assert told == "This release can work with these tables.\n"
    project.run("flask", "deploy")
    with project.app.app_context(), unit_of_work():
        owner_id = User.find("gardener").id
        assert Device.create(owner_id=owner_id, **THERMOSTAT).id == 2
    assert "No new upgrade operations" in project.run("flask", "db", "check")
    (project.folder / "show.py").write_text(SHOW)
    assert project.run("show").strip() == str(dict(sorted(FILLED.items())))
    todo = only(project.app, "SELECT name, device, spare FROM todos")
    assert todo == {"name": "Look", "device": 1, "spare": None}
    project.run("flask", "db", "downgrade")
    assert only(project.app, "SELECT name, device FROM todos")["device"] == 1


def test_what_is_unique_from_now_on_is_told_in_good_form(project):
    sortable = '    sortable = ("id", "name", "done", '
    edit(project, {TODOS: [(sortable, f'    unique = ("name",)\n{sortable}')]})
    _, file = new_migration(project)
    project.run("flake8", "--max-line-length=92", str(file))
    project.run("flask", "deploy")
    assert "No new upgrade operations" in project.run("flask", "db", "check")
    assert only(project.app, "SELECT device FROM todos") == {"device": 1}


def test_what_nobody_knows_is_asked_for(project):
    edit(project, {DEVICES: REQUIRED})
    wanted = "make it optional(…), or write a server_default into the migration."
    told, file = new_migration(project)
    assert (
        f"devices.floor must be filled, and rows have nothing there: {wanted}" in told
    )
    with project.app.app_context():
        before = migrated()
    told = project.run("flask", "deploy", code=1)
    assert f"devices.floor must be filled, and devices has rows: {wanted}" in told
    assert "Traceback" not in told
    with project.app.app_context():
        assert migrated() == before
    column = 'sa.Column("floor", sa.BigInteger(), nullable=False'
    written = file.read_text()
    assert written.count(column) == 1
    file.write_text(written.replace(column, f'{column}, server_default="2"'))
    project.run("flask", "deploy")
    assert only(project.app, "SELECT floor FROM devices") == {"floor": 2}
    assert "No new upgrade operations" in project.run("flask", "db", "check")


def test_what_is_dropped_takes_nothing_along(project):
    edit(project, GONE)
    _, file = new_migration(project)
    project.run("flask", "deploy")
    assert "No new upgrade operations" in project.run("flask", "db", "check")
    row = only(project.app, "SELECT * FROM devices")
    assert row["name"] == THERMOSTAT["name"] and "serial_number" not in row
    assert "device" not in only(project.app, "SELECT * FROM todos")
    with project.app.app_context(), unit_of_work():
        sql.session.execute(text("DELETE FROM todos"))
        sql.session.execute(text("DELETE FROM devices"))
    project.run("flask", "db", "downgrade")
    assert changes(project.app) == []


@pytest.mark.skipif(
    any(
        Todo in (parent_of(model), *references_of(model).values())
        for model in MODELS.values()
    ),
    reason="something refers to to-dos",
)
def test_a_table_that_is_dropped_can_come_back_on_every_database(project):
    edit(project, {"myapp/__init__.py": WITHOUT_TODOS})
    new_migration(project)
    project.run("flask", "deploy")
    with project.app.app_context():
        assert "todos" not in inspect(sql.engine).get_table_names()
    project.run("flask", "db", "downgrade")
    assert changes(project.app) == []
    with project.app.app_context(), unit_of_work():
        owner_id = User.find("gardener").id
        body = {"name": "Look", "task": "at it", "device": 1}
        assert Todo.create(owner_id=owner_id, **Todo.body.check(body)).id == 1
