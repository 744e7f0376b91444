"""The project's migrations, with the tables of the sample features."""

import shutil

from alembic.script import ScriptDirectory

from myapp.core.data import alembic_hooks, migrations
from myapp.core.data.session import sql

from . import ROOT

TABLES = ROOT / "tests" / "support" / "features" / "tables.py"
WITH_SAMPLES = """

upgrade_project, downgrade_project = upgrade, downgrade


def upgrade():
    upgrade_project()
    create_sample_tables()


def downgrade():
    drop_sample_tables()
    downgrade_project()
"""


def copy_migrations(folder):
    """Copy the migrations to the new `folder`; the newest creates the sample tables, too.

    Its revision stays the same, so that a process of the project itself, which does not
    know the samples, finds the database up to date.
    """
    shutil.copytree(ROOT / "migrations", folder)
    script = ScriptDirectory(folder)
    newest = script.get_revision(script.get_current_head())
    with open(newest.path, "a", encoding="utf-8") as file:
        file.write("\n\n" + TABLES.read_text(encoding="utf-8") + WITH_SAMPLES)
    return folder


def differences_from_models(connection):
    """Return what Alembic would change, except for tables that no model names.

    The tables of a feature that was removed stay until a later migration drops them.
    """
    changes = alembic_hooks.differences_from_models(connection)
    return [change for change in changes if not is_about_an_orphan(change)]


def is_about_an_orphan(change):
    verb, thing, *_ = change
    table = thing if verb == "remove_table" else getattr(thing, "table", None)
    removes = str(verb).startswith("remove_") and table is not None
    return removes and table.name not in sql.metadata.tables


def use_migrations(monkeypatch, folder):
    """Let this process run the migrations in `folder`."""
    monkeypatch.setattr(migrations, "MIGRATIONS", str(folder))
    monkeypatch.setattr(migrations.migrate, "directory", str(folder))
