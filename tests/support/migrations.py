"""The project's migrations, with the tables of the sample features."""

import shutil

from alembic.script import ScriptDirectory

from myapp.core.data import migrations

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


def use_migrations(monkeypatch, folder):
    """Let this process run the migrations in `folder`."""
    monkeypatch.setattr(migrations, "MIGRATIONS", str(folder))
    monkeypatch.setattr(migrations.migrate, "directory", str(folder))
