"""The migrations gate refuses migrations that break the running release."""

import shutil
import sys

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from flask_migrate import downgrade, upgrade

from conftest import close_stores
from myapp.core.data.migrations import current_revisions
from myapp.core.data.session import sql, unit_of_work
from myapp.ops import schema_gate
from myapp.ops.databases import scratch_database
from support import ROOT

GOOD = "This release can work with these tables.\n"
OLDER = "c4d90b7f1a35"


def output_of(result, code=0):
    """Return the output of a command that ended with this code."""
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


# Steps of migrations: functions of Alembic's `op`


def executed(*statements):
    return lambda op: [op.execute(statement) for statement in statements]


def added(table, *column, **options):
    return lambda op: op.add_column(table, sa.Column(*column, **options))


def indexed(table, *columns, **options):
    return lambda op: op.create_index("ix_new", table, columns, unique=True, **options)


def batch(table, verb, *values, **options):
    def change(op):
        with op.batch_alter_table(table) as batch:
            getattr(batch, verb)(*values, **options)

    return change


def altered(table, column, **options):
    return batch(table, "alter_column", column, **options)


def both(*steps):
    return lambda op: [step(op) for step in steps]


def apply(step, file):
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        step(Operations(MigrationContext.configure(connection)))
    engine.dispose()


TEXT = sa.String(64)
EXTERNAL = added("sample_gadgets", "external_id", TEXT)
KIND = added("sample_gadgets", "kind", TEXT, nullable=False, server_default="plain")
READS = "is gone, and this release reads it."
UNKNOWN = "and this release does not know"
TAKES = "and this release takes it for"
RELIES = "any more, and this release relies on it."

HARMFUL = [
    (executed("DROP TABLE sample_chores"), f"The table sample_chores {READS}"),
    (
        executed("ALTER TABLE sample_chores RENAME TO tasks"),
        f"The table sample_chores {READS}",
    ),
    (
        executed(
            "ALTER TABLE sample_chores RENAME TO tasks",
            "CREATE VIEW sample_chores AS SELECT * FROM tasks",
        ),
        f"The table sample_chores {READS}",
    ),
    (executed("ALTER TABLE audit DROP details"), f"audit.details {READS}"),
    (
        executed("ALTER TABLE sample_gadgets RENAME location TO room"),
        f"sample_gadgets.location {READS}",
        f"sample_gadgets.room must be filled, {UNKNOWN} it.",
    ),
    (
        batch("sample_gadgets", "add_column", sa.Column("room", TEXT, nullable=False)),
        f"sample_gadgets.room must be filled, {UNKNOWN} it.",
    ),
    (
        executed("ALTER TABLE sample_gadgets ADD room TEXT NOT NULL DEFAULT NULL"),
        f"sample_gadgets.room must be filled, {UNKNOWN} it.",
    ),
    (
        altered("users", "last_login_ip", nullable=False),
        "users.last_login_ip must be filled, and this release may leave it empty.",
    ),
    (
        altered("users", "last_login_ip", nullable=False, server_default="::"),
        "users.last_login_ip must be filled, and this release may leave it empty.",
    ),
    (
        both(
            executed("ALTER TABLE audit DROP details"),
            executed("ALTER TABLE audit ADD details VARCHAR(250) AS (actor)"),
        ),
        "audit.details is computed, and this release writes it.",
    ),
    (
        altered("sample_gadgets", "name", type_=sa.String(32)),
        f"sample_gadgets.name is VARCHAR(32), {TAKES} VARCHAR(64).",
    ),
    (
        altered("sample_gadgets", "search", type_=sa.String(4000)),
        f"sample_gadgets.search is VARCHAR(4000), {TAKES} TEXT.",
    ),
    (
        altered("sample_gadgets", "name", type_=sa.CHAR(64)),
        f"sample_gadgets.name is CHAR(64), {TAKES} VARCHAR(64).",
    ),
    (
        altered("audit", "account_id", type_=sa.Integer()),
        f"audit.account_id is INTEGER, {TAKES} BIGINT.",
    ),
    (
        altered("users", "generation", type_=sa.SmallInteger()),
        f"users.generation is SMALLINT, {TAKES} INTEGER.",
    ),
    (
        altered("sample_chores", "done", type_=sa.Integer()),
        f"sample_chores.done is INTEGER, {TAKES} BOOLEAN.",
    ),
    (
        altered("roles", "permissions", type_=sa.Text()),
        f"roles.permissions is TEXT, {TAKES} JSON.",
    ),
    (
        altered("sample_chores", "due_at", type_=sa.Date()),
        f"sample_chores.due_at is DATE, {TAKES} DATETIME.",
    ),
    (
        altered("idempotency", "body", type_=sa.Text()),
        f"idempotency.body is TEXT, {TAKES} BLOB.",
    ),
    (
        indexed("sample_gadgets", "serial_number"),
        f"sample_gadgets must be unique by (serial_number), {UNKNOWN} that.",
    ),
    (
        batch(
            "sample_gadgets", "create_unique_constraint", "uq_new", ["name", "owner_id"]
        ),
        f"sample_gadgets must be unique by (name, owner_id), {UNKNOWN} that.",
    ),
    (
        indexed("sample_gadgets", "name", sqlite_where=sa.text("location = 'Attic'")),
        "sample_gadgets must be unique by (name) WHERE location = 'Attic', "
        f"{UNKNOWN} that.",
    ),
    (
        executed("create unique index ix_new on sample_gadgets(lower(name))"),
        f"sample_gadgets must be unique by (lower(name)), {UNKNOWN} that.",
    ),
    (
        executed("CREATE UNIQUE INDEX ix_new ON users (name_key COLLATE NOCASE)"),
        f"users must be unique by (name_key COLLATE NOCASE), {UNKNOWN} that.",
    ),
    (
        both(
            EXTERNAL,
            executed(
                "CREATE UNIQUE INDEX ix ON sample_gadgets (external_id, lower(name))"
            ),
        ),
        f"sample_gadgets must be unique by (external_id, lower(name)), {UNKNOWN} that.",
    ),
    (
        both(EXTERNAL, indexed("sample_gadgets", "external_id", "owner_id")),
        f"sample_gadgets must be unique by (external_id, owner_id), {UNKNOWN} that.",
    ),
    (
        both(KIND, indexed("sample_gadgets", "kind")),
        f"sample_gadgets must be unique by (kind), {UNKNOWN} that.",
    ),
    (
        batch("users", "drop_constraint", "uq_users_name_key"),
        f"users is not unique by (name_key) {RELIES}",
    ),
    (
        both(
            batch("users", "drop_constraint", "uq_users_name_key"),
            indexed("users", "name_key", sqlite_where=sa.text("deleted_at IS NULL")),
        ),
        f"users must be unique by (name_key) WHERE deleted_at IS NULL, {UNKNOWN} that.",
        f"users is not unique by (name_key) {RELIES}",
    ),
    (
        batch("audit", "create_foreign_key", "fk", "users", ["account_id"], ["id"]),
        f"audit is held to users by (account_id), {UNKNOWN} that.",
    ),
    (
        batch("sample_chores", "drop_constraint", "fk_sample_chores_gadget"),
        "sample_chores is not held to sample_gadgets by (gadget) ON DELETE SET NULL "
        f"{RELIES}",
    ),
    (
        both(
            batch("users", "drop_constraint", "fk_users_role_id"),
            batch(
                *("users", "create_foreign_key", "fk", "roles", ["role_id"], ["id"]),
                ondelete="CASCADE",
            ),
        ),
        f"users is held to roles by (role_id) ON DELETE CASCADE, {UNKNOWN} that.",
        f"users is not held to roles by (role_id) {RELIES}",
    ),
    (
        executed("CREATE TABLE rooms (owner INTEGER NOT NULL REFERENCES users)"),
        f"rooms keeps rows of users from being deleted, {UNKNOWN} that.",
    ),
    (
        executed("ALTER TABLE sample_chores ADD helper_id INTEGER REFERENCES users"),
        f"sample_chores keeps rows of users from being deleted, {UNKNOWN} that.",
    ),
    (
        batch("sample_gadgets", "create_check_constraint", "ck", "length(name) > 2"),
        f"sample_gadgets must meet (length(name) > 2), {UNKNOWN} that.",
    ),
    (
        both(
            EXTERNAL,
            batch(
                "sample_gadgets", "create_check_constraint", "ck", "external_id <> name"
            ),
        ),
        f"sample_gadgets must meet (external_id <> name), {UNKNOWN} that.",
    ),
    (
        executed("ALTER TABLE sample_gadgets ADD room TEXT CHECK (room IS NOT NULL)"),
        f"sample_gadgets must meet (room IS NOT NULL), {UNKNOWN} that.",
    ),
    (
        executed(
            'ALTER TABLE roles ADD "check" TEXT CHECK ("default" /* ( */ OR -- (\n 0)'
        ),
        f'roles must meet ("default" OR 0), {UNKNOWN} that.',
    ),
    (
        both(
            executed("DROP TABLE idempotency"),
            executed(
                "CREATE TABLE idempotency (account_id INTEGER, key VARCHAR(255), "
                "request_hash BLOB, created_at DATETIME, status INTEGER, headers JSON, "
                "body BLOB, PRIMARY KEY (account_id))"
            ),
        ),
        "idempotency has the key (account_id), and this release knows "
        "(account_id, key).",
    ),
]

HARMLESS = [
    executed("CREATE TABLE rooms (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)"),
    EXTERNAL,
    KIND,
    executed("ALTER TABLE sample_gadgets ADD label TEXT NOT NULL AS (name || '!')"),
    altered("sample_gadgets", "location", nullable=True),
    altered("sample_gadgets", "location", server_default="Attic"),
    altered("sample_gadgets", "name", type_=sa.String(128)),
    altered("sample_gadgets", "name", type_=sa.Text()),
    altered("users", "generation", type_=sa.BigInteger()),
    executed("CREATE INDEX ix_new ON sample_gadgets (serial_number)"),
    executed("DROP INDEX ix_sample_gadgets_owner_id_name_id"),
    both(
        batch("users", "drop_constraint", "uq_users_name_key"),
        executed("CREATE UNIQUE INDEX uq ON users (name_key)"),
    ),
    both(EXTERNAL, indexed("sample_gadgets", "external_id")),
    both(
        EXTERNAL,
        indexed(
            "sample_gadgets",
            "external_id",
            sqlite_where=sa.text("external_id IS NOT NULL"),
        ),
    ),
    both(EXTERNAL, KIND, indexed("sample_gadgets", "external_id", "kind")),
    executed("ALTER TABLE sample_gadgets ADD room_id INTEGER REFERENCES rooms (id)"),
    executed(
        "CREATE TABLE rooms (id INTEGER REFERENCES users ON DELETE CASCADE)",
        "ALTER TABLE sample_chores ADD by INTEGER REFERENCES users (id) ON DELETE SET NULL",
    ),
    executed(
        "ALTER TABLE sample_gadgets ADD kind TEXT NOT NULL DEFAULT 'plain' "
        "CHECK (kind IN ('plain', 'odd', 'name'))"
    ),
    executed("ALTER TABLE sample_gadgets ADD at TEXT CHECK (at LIKE '%:%')"),
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
    """Make a file with these tables after a step."""

    def change(step, name="tables"):
        copy = shutil.copy(scratch, tmp_path / name)
        apply(step, copy)
        return copy

    return change


@pytest.fixture
def run_works_with(shared_app):
    """Return a function that runs `flask works-with` on a file."""

    def run(file):
        runner = shared_app.test_cli_runner()
        return runner.invoke(args=["works-with", str(file)])

    return run


def test_the_tables_of_our_own_migrations_are_accepted(scratch, run_works_with):
    assert output_of(run_works_with(scratch)) == GOOD


@pytest.mark.parametrize("step, lines", [(step, lines) for step, *lines in HARMFUL])
def test_incompatible_tables_are_refused_with_the_reason(
    change_tables, run_works_with, step, lines
):
    assert output_of(run_works_with(change_tables(step)), 1).splitlines() == lines


@pytest.mark.parametrize("step", HARMLESS)
def test_compatible_tables_are_accepted(change_tables, run_works_with, step):
    assert output_of(run_works_with(change_tables(step))) == GOOD


def compared(ours, theirs):
    with schema_gate.connect_sqlite(ours) as before, schema_gate.connect_sqlite(
        theirs
    ) as after:
        return list(schema_gate.find_breaks(before, after))


def test_a_default_that_we_rely_on_must_stay(change_tables):
    before = change_tables(KIND, "before")
    after = change_tables(
        added("sample_gadgets", "kind", TEXT, nullable=False), "after"
    )
    message = "sample_gadgets.kind has lost its default, and this release relies on it."
    assert compared(before, after) == [message]


def test_an_unused_column_may_be_dropped(change_tables):
    assert (
        compared(
            change_tables(executed(), "before"), change_tables(EXTERNAL, "between")
        )
        == []
    )
    assert (
        compared(
            change_tables(executed(), "before"), change_tables(executed(), "after")
        )
        == []
    )


def test_a_number_may_grow_and_not_shrink(change_tables):
    def price(*digits):
        step = added("sample_gadgets", "price", sa.Numeric(*digits))
        return change_tables(step, f"price{digits}")

    usual = price(8, 2)
    assert compared(usual, price(9, 2)) == []
    assert len(compared(usual, price(8, 3))) == 1
    assert len(compared(usual, price(9, 1))) == 1
    assert len(compared(price(), usual)) == 1


def test_accepted_breaks_are_declared_in_the_code(
    change_tables, run_works_with, monkeypatch
):
    step, line = HARMFUL[3]
    file = change_tables(step)
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


def test_a_failing_release_is_reported_without_its_traceback(run_gate, make_release):
    folder = make_release(f"{JUDGE}    raise ValueError('any')")
    expected = (
        f"Error: The release in {folder} cannot check the tables: ValueError: any\n"
    )
    assert output_of(run_gate(folder), 1) == expected


def test_a_release_that_cannot_be_loaded_is_not_taken_for_an_old_one(
    run_gate, make_release
):
    folder = make_release("import nothing_of_that_name")
    assert "cannot check the tables" in output_of(run_gate(folder), 1)


def test_an_older_release_without_the_command_refuses_nothing(run_gate, make_release):
    folder = make_release(BARE)
    expected = f"The release in {folder} is too old for this check.\n"
    assert output_of(run_gate(folder)) == expected


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
