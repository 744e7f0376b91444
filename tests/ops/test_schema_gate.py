"""The migrations gate refuses migrations that break the running release."""

import re
import shutil
import sqlite3
import sys
from contextlib import closing

import pytest
import sqlalchemy as sa
from flask_migrate import downgrade, upgrade

from conftest import close_stores
from myapp.core.data.migrations import current_revisions
from myapp.core.data.session import sql, unit_of_work
from myapp.ops import schema_gate
from myapp.ops.databases import scratch_database
from support import ROOT

GOOD = "This release can work with these tables.\n"
OLDER = "c4d90b7f1a35"
EXTERNAL = "ALTER TABLE sample_gadgets ADD external_id VARCHAR(64)"
KIND = "ALTER TABLE sample_gadgets ADD kind VARCHAR(64) NOT NULL DEFAULT 'plain'"
UNKNOWN = "and this release does not know that."
RELIES = "any more, and this release relies on it."
STEP = re.compile(r"(\w+): (.*) -> (.*)")


def output_of(result, code=0):
    """Return the output of a command that ended with this code."""
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


# Migrations: statements, or `table: old -> new`, a change in the definition of a table.
# After each, indented, the reasons why it is refused.
HARMFUL = f"""
DROP TABLE sample_chores
    The table sample_chores is gone, and this release reads it.

ALTER TABLE sample_chores RENAME TO tasks
    The table sample_chores is gone, and this release reads it.

ALTER TABLE sample_chores RENAME TO tasks
CREATE VIEW sample_chores AS SELECT * FROM tasks
    The table sample_chores is gone, and this release reads it.

ALTER TABLE audit DROP details
    audit.details is gone, and this release reads it.

ALTER TABLE sample_gadgets RENAME location TO room
    sample_gadgets.location is gone, and this release reads it.
    sample_gadgets.room must be filled, and this release does not know it.

sample_gadgets: location VARCHAR(64) -> room VARCHAR(64) NOT NULL, location VARCHAR(64)
    sample_gadgets.room must be filled, and this release does not know it.

ALTER TABLE sample_gadgets ADD room TEXT NOT NULL DEFAULT NULL
    sample_gadgets.room must be filled, and this release does not know it.

users: last_login_ip VARCHAR(45) -> last_login_ip VARCHAR(45) NOT NULL
    users.last_login_ip must be filled, and this release may leave it empty.

users: last_login_ip VARCHAR(45) -> last_login_ip VARCHAR(45) DEFAULT '::' NOT NULL
    users.last_login_ip must be filled, and this release may leave it empty.

ALTER TABLE audit DROP details
ALTER TABLE audit ADD details VARCHAR(250) AS (actor)
    audit.details is computed, and this release writes it.

sample_gadgets: name VARCHAR(64) -> name VARCHAR(32)
    sample_gadgets.name is VARCHAR(32), and this release takes it for VARCHAR(64).

sample_gadgets: search TEXT -> search VARCHAR(4000)
    sample_gadgets.search is VARCHAR(4000), and this release takes it for TEXT.

sample_gadgets: name VARCHAR(64) -> name CHAR(64)
    sample_gadgets.name is CHAR(64), and this release takes it for VARCHAR(64).

audit: account_id BIGINT -> account_id INTEGER
    audit.account_id is INTEGER, and this release takes it for BIGINT.

users: generation INTEGER -> generation SMALLINT
    users.generation is SMALLINT, and this release takes it for INTEGER.

sample_chores: done BOOLEAN -> done INTEGER
    sample_chores.done is INTEGER, and this release takes it for BOOLEAN.

roles: permissions JSON -> permissions TEXT
    roles.permissions is TEXT, and this release takes it for JSON.

sample_chores: due_at DATETIME -> due_at DATE
    sample_chores.due_at is DATE, and this release takes it for DATETIME.

idempotency: body BLOB -> body TEXT
    idempotency.body is TEXT, and this release takes it for BLOB.

CREATE UNIQUE INDEX ix_new ON sample_gadgets (serial_number)
    sample_gadgets must be unique by (serial_number), and this release does not know that.

sample_gadgets: CONSTRAINT -> CONSTRAINT uq_new UNIQUE (name, owner_id), CONSTRAINT
    sample_gadgets must be unique by (name, owner_id), and this release does not know that.

CREATE UNIQUE INDEX ix_new ON audit (actor) WHERE actor = 'Ada'
    audit must be unique by (actor) WHERE actor = 'Ada', {UNKNOWN}

create unique index ix_new on audit(lower(actor))
    audit must be unique by (lower(actor)), and this release does not know that.

CREATE UNIQUE INDEX ix_new ON users (name_key COLLATE NOCASE)
    users must be unique by (name_key COLLATE NOCASE), and this release does not know that.

ALTER TABLE audit ADD code TEXT
CREATE UNIQUE INDEX ix ON audit (code, lower(actor))
    audit must be unique by (code, lower(actor)), and this release does not know that.

ALTER TABLE audit ADD code TEXT
CREATE UNIQUE INDEX ix ON audit (code, actor)
    audit must be unique by (actor, code), and this release does not know that.

ALTER TABLE audit ADD code TEXT NOT NULL DEFAULT 'plain'
CREATE UNIQUE INDEX ix ON audit (code)
    audit must be unique by (code), and this release does not know that.

users: CONSTRAINT uq_users_name_key UNIQUE (name_key), ->
    users is not unique by (name_key) any more, and this release relies on it.

users: CONSTRAINT uq_users_name_key UNIQUE (name_key), ->
CREATE UNIQUE INDEX uq ON users (name_key) WHERE deleted_at IS NULL
    users must be unique by (name_key) WHERE deleted_at IS NULL, {UNKNOWN}
    users is not unique by (name_key) any more, and this release relies on it.

audit: account_id BIGINT -> account_id BIGINT REFERENCES users (id)
    audit is held to users by (account_id), and this release does not know that.

sample_chores: CONSTRAINT fk_sample_chores_gadget FOREIGN KEY(gadget) -> CHECK (true), --
    sample_chores is not held to sample_gadgets by (gadget) ON DELETE SET NULL {RELIES}

users: REFERENCES roles (id) -> REFERENCES roles (id) ON DELETE CASCADE
    users is held to roles by (role_id) ON DELETE CASCADE, {UNKNOWN}
    users is not held to roles by (role_id) any more, and this release relies on it.

CREATE TABLE rooms (owner INTEGER NOT NULL REFERENCES users)
    rooms keeps rows of users from being deleted, and this release does not know that.

ALTER TABLE sample_chores ADD helper_id INTEGER REFERENCES users
    sample_chores keeps rows of users from being deleted, {UNKNOWN}

sample_gadgets: CONSTRAINT -> CHECK (length(name) > 2), CONSTRAINT
    sample_gadgets must meet (length(name) > 2), and this release does not know that.

audit: details VARCHAR(250), -> details VARCHAR(250), code TEXT CHECK (code <> actor),
    audit must meet (code <> actor), and this release does not know that.

ALTER TABLE sample_gadgets ADD room TEXT CHECK (room IS NOT NULL)
    sample_gadgets must meet (room IS NOT NULL), and this release does not know that.

roles: permissions -> "check" TEXT CHECK ("default" /* ( */ OR -- (\\n 0), permissions
    roles must meet ("default" OR 0), and this release does not know that.

idempotency: PRIMARY KEY (account_id, "key") -> PRIMARY KEY (account_id)
    idempotency has the key (account_id), and this release knows (account_id, key).
"""
HARMLESS = f"""
CREATE TABLE rooms (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)

{EXTERNAL}

{KIND}

ALTER TABLE sample_gadgets ADD label TEXT NOT NULL AS (name || '!')

sample_gadgets: location VARCHAR(64) NOT NULL -> location VARCHAR(64)

sample_gadgets: location VARCHAR(64) NOT NULL -> location VARCHAR(64) DEFAULT 'A' NOT NULL

sample_gadgets: name VARCHAR(64) -> name VARCHAR(128)

sample_gadgets: name VARCHAR(64) -> name TEXT

users: generation INTEGER -> generation BIGINT

CREATE INDEX ix_new ON sample_gadgets (serial_number)

DROP INDEX ix_sample_gadgets_owner_id_name_id

users: CONSTRAINT uq_users_name_key UNIQUE (name_key), ->
CREATE UNIQUE INDEX uq ON users (name_key)

{EXTERNAL}
CREATE UNIQUE INDEX ix_new ON sample_gadgets (external_id)

{EXTERNAL}
CREATE UNIQUE INDEX ix_new ON sample_gadgets (external_id) WHERE external_id IS NOT NULL

{EXTERNAL}
{KIND}
CREATE UNIQUE INDEX ix_new ON sample_gadgets (external_id, kind)

ALTER TABLE sample_gadgets ADD room_id INTEGER REFERENCES rooms (id)

CREATE TABLE rooms (id INTEGER REFERENCES users ON DELETE CASCADE)
ALTER TABLE sample_chores ADD by INTEGER REFERENCES users (id) ON DELETE SET NULL

{KIND} CHECK (kind IN ('plain', 'odd', 'name'))

ALTER TABLE sample_gadgets ADD at TEXT CHECK (at LIKE '%:%')
"""


def migrations_in(text):
    """Return pairs of the steps of each migration and the reasons why it is refused."""
    cases = [case.splitlines() for case in text.strip().split("\n\n")]
    return [
        (
            [line for line in lines if line[0] != " "],
            [line.strip() for line in lines if line[0] == " "],
        )
        for lines in cases
    ]


@pytest.fixture(scope="module")
def scratch(make_app, tmp_path_factory):
    """Return a SQLite file with the tables that our migrations build."""
    file = tmp_path_factory.mktemp("scratch") / "scratch.sqlite3"
    app = make_app()
    with app.app_context(), scratch_database(file):
        upgrade()
    return file


@pytest.fixture
def change_tables(scratch, tmp_path):
    """Return a function that writes a file with these tables after some steps."""
    with closing(sqlite3.connect(scratch)) as connection:
        query = "SELECT name, sql FROM sqlite_master WHERE sql NOT NULL"
        original = dict(connection.execute(f"{query} AND name <> 'sqlite_sequence'"))

    def change(*steps, name="tables"):
        definitions, statements = dict(original), []
        for step in steps:
            if edit := STEP.fullmatch(f"{step} "):
                table, old, new = edit.groups()
                new = new.strip().replace("\\n", "\n")
                assert old in definitions[table]
                definitions[table] = definitions[table].replace(old, new, 1)
            else:
                statements.append(step)
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            for statement in (*definitions.values(), *statements):
                connection.execute(statement)
        return tmp_path / name

    return change


@pytest.fixture
def run_works_with(shared_app):
    """Return a function that runs `flask works-with` on a file."""
    runner = shared_app.test_cli_runner()
    return lambda file: runner.invoke(args=["works-with", str(file)])


def test_the_tables_of_our_own_migrations_are_accepted(scratch, run_works_with):
    assert output_of(run_works_with(scratch)) == GOOD


@pytest.mark.parametrize("steps, reasons", migrations_in(HARMFUL))
def test_incompatible_tables_are_refused_with_the_reason(
    change_tables, run_works_with, steps, reasons
):
    assert output_of(run_works_with(change_tables(*steps)), 1).splitlines() == reasons


@pytest.mark.parametrize("steps, _", migrations_in(HARMLESS))
def test_compatible_tables_are_accepted(change_tables, run_works_with, steps, _):
    assert output_of(run_works_with(change_tables(*steps))) == GOOD


def compared(ours, theirs):
    connect = schema_gate.connect_sqlite
    with connect(ours) as before, connect(theirs) as after:
        return list(schema_gate.find_breaks(before, after))


def test_a_default_that_we_rely_on_must_stay(change_tables):
    before = change_tables(KIND, name="before")
    after = change_tables(KIND.partition(" NOT NULL")[0], name="after")
    message = "sample_gadgets.kind has lost its default, and this release relies on it."
    assert compared(before, after) == [message]


def test_an_unused_column_may_be_dropped(change_tables):
    before = change_tables(name="before")
    assert compared(before, change_tables(EXTERNAL, name="between")) == []
    assert compared(before, change_tables(name="after")) == []


def test_a_number_may_grow_and_not_shrink(change_tables):
    def price(digits=""):
        step = f"ALTER TABLE sample_gadgets ADD price NUMERIC{digits}"
        return change_tables(step, name=f"price{digits}")

    usual = price("(8, 2)")
    assert compared(usual, price("(9, 2)")) == []
    assert len(compared(usual, price("(8, 3)"))) == 1
    assert len(compared(usual, price("(9, 1)"))) == 1
    assert len(compared(price(), usual)) == 1


def test_accepted_breaks_are_declared_in_the_code(
    change_tables, run_works_with, monkeypatch
):
    steps, (line,) = migrations_in(HARMFUL)[3]
    file = change_tables(*steps)
    monkeypatch.setattr(schema_gate, "ACCEPTED_BREAKS", {line})
    assert output_of(run_works_with(file)) == GOOD
    monkeypatch.setattr(schema_gate, "ACCEPTED_BREAKS", {line + "!"})
    assert output_of(run_works_with(file), 1) == f"{line}\n"


def test_a_file_that_is_no_database_is_refused_without_a_traceback(
    run_works_with, tmp_path
):
    (tmp_path / "text").write_text("not a database" * 100)
    assert (
        output_of(run_works_with(tmp_path / "text"), 1)
        == "Error: file is not a database\n"
    )


# flask gate


@pytest.fixture(scope="module")
def older(make_app, scratch, tmp_path_factory):
    """Return an application whose database lacks our last migration, and a copy of that."""
    file = tmp_path_factory.mktemp("older") / "database.sqlite3"
    app = make_app(SQLALCHEMY_DATABASE_URI=f"sqlite:///{file}")
    shutil.copy(scratch, file)
    with app.app_context():
        downgrade(revision=OLDER)
    close_stores(app)
    return app, shutil.copy(file, file.with_name("copy.sqlite3"))


@pytest.fixture
def database(older):
    """Yield an application whose database lacks our last migration."""
    app, copy = older
    shutil.copy(copy, app.config["SQLALCHEMY_DATABASE_URI"].removeprefix("sqlite:///"))
    yield app
    close_stores(app)


@pytest.fixture
def make_release(tmp_path):
    """Put a release into a folder; its application is this source, or else our own."""

    def make(source=None):
        folder = tmp_path / "running"
        folder.mkdir()
        (folder / ".venv").symlink_to(sys.prefix)
        if source is None:
            shutil.copytree(ROOT / "myapp", folder / "myapp")
            (folder / "default_config.py").symlink_to(ROOT / "default_config.py")
        else:
            (folder / "myapp.py").write_text(source)
        return folder

    return make


@pytest.fixture
def run_gate(database):
    """Return a function that runs `flask gate` against the release in a folder."""

    def run(folder):
        return database.test_cli_runner().invoke(args=["gate", str(folder)])

    return run


BARE = """
import click, flask, sys
app = flask.Flask("myapp")
"""
JUDGE = f"""{BARE}
@app.cli.command("works-with")
@click.argument("file")
def works_with(file):
    assert open(file, "rb").read().startswith(b"SQLite")
"""


def test_the_running_release_itself_is_asked(run_gate, make_release):
    folder = make_release()
    models = folder / "myapp" / "users" / "models.py"
    known = "    last_login_at = Column("
    code = models.read_text()
    assert known in code
    models.write_text(code.replace(known, f"    x = Column(TIMESTAMP)\n{known}"))
    output = output_of(run_gate(folder), 1)
    assert output.startswith(
        "users.x is gone, and this release reads it.\nError: The run"
    )
    assert "docs/adr/0022-migrations-gate.md" in output
    assert (ROOT / "docs/adr/0022-migrations-gate.md").exists()
    assert not (folder / "instance").exists()


def test_compatible_migrations_are_accepted(
    run_gate, make_release, database, monkeypatch
):
    monkeypatch.setenv("MYAPP_OF_THE_NEXT_RELEASE", "which this one does not know")
    monkeypatch.setenv("FLASK_APP", "wsgi")
    folder = make_release(f"{JUDGE}    print('It is good.')")
    assert output_of(run_gate(folder)) == "It is good.\n"
    with database.app_context():
        assert current_revisions() == {OLDER}


FAILS = "cannot check the tables: "


@pytest.mark.parametrize(
    "source, code, why",
    [
        (f"{JUDGE}    raise ValueError('any')", 1, f"{FAILS}ValueError: any\n"),
        ("import nothing", 1, f"{FAILS}Error: No such command 'works-with'.\n"),
        (BARE, 0, "is too old for this check.\n"),  # and refuses nothing
    ],
)
def test_a_release_that_cannot_check_is_named(
    run_gate, make_release, source, code, why
):
    folder = make_release(source)
    output = output_of(run_gate(folder), code)
    assert output.removeprefix("Error: ") == f"The release in {folder} {why}"


def test_where_no_release_runs_nothing_is_refused(run_gate, tmp_path):
    folder = tmp_path / "nowhere"
    expected = f"No release runs in {folder}, so nothing is checked.\n"
    assert output_of(run_gate(folder)) == expected


def test_without_pending_migrations_the_release_is_not_asked(
    run_gate, make_release, database
):
    folder = make_release(f"{JUDGE}    sys.exit('I was asked.')")
    with database.app_context():
        upgrade()
    assert output_of(run_gate(folder)) == "No migration is pending.\n"


def test_an_older_release_is_reported(run_gate, make_release, database):
    folder = make_release(f"{JUDGE}    sys.exit('I was asked.')")
    with database.app_context(), unit_of_work():
        sql.session.execute(sa.text("UPDATE alembic_version SET version_num = 'f00d'"))
    output = output_of(run_gate(folder))
    assert "f00d, which this release does not know" in output
    assert "Nothing is refused." in output


@pytest.mark.parametrize(
    "line, why",
    [
        ("op.drop_index('ix_colour')", ", line 5: OperationalError: no such index: ix"),
        ("{}['colour']", ", line 5: KeyError: 'colour'"),
        ("colour colour", ", line 5)"),
    ],
)
def test_a_migration_that_fails_is_named(
    run_gate, make_release, next_migration, database, line, why
):
    next_migration(line)
    output = output_of(run_gate(make_release(BARE)), 1)
    assert output.startswith("Error: ") and output.count("\n") == 1
    assert f"20261201_colour.py{why}" in output
    with database.app_context():
        assert current_revisions() == {OLDER}


def test_an_unreachable_database_is_reported_without_its_password(make_app):
    app = make_app(
        SQLALCHEMY_DATABASE_URI="postgresql+psycopg://me:secret@127.0.0.1:1/x"
    )
    output = output_of(app.test_cli_runner().invoke(args=["gate", "running"]), 1)
    assert output.startswith("Error: OperationalError: ") and "refused" in output
    assert "secret" not in output
