"""The project's migrations, with the tables of the sample features."""

import shutil

from alembic import op
from alembic.script import ScriptDirectory

from myapp.core.data import migrations
from myapp.core.data.session import sql

from .features import SAMPLES

# Appended to the newest migration. Its revision stays the same, so that a process of the
# project itself, which does not know the samples, finds the database up to date.
WITH_SAMPLES = """

from support.migrations import with_samples

upgrade, downgrade = with_samples(upgrade, downgrade)
"""


def copy_migrations(folder):
    """Copy the migrations to `folder`, a new one, and let them create the sample tables."""
    shutil.copytree(migrations.MIGRATIONS, folder)
    script = ScriptDirectory(folder)
    newest = script.get_revision(script.get_current_head())
    with open(newest.path, "a", encoding="utf-8") as file:
        file.write(WITH_SAMPLES)
    return folder


def use_migrations(monkeypatch, folder):
    """Let this process run the migrations in `folder`."""
    monkeypatch.setattr(migrations, "MIGRATIONS", str(folder))
    monkeypatch.setattr(migrations.migrate, "directory", str(folder))


def sample_tables():
    """Return the tables of the sample features."""
    names = tuple(feature.name for feature in SAMPLES)
    return [table for name, table in sql.metadata.tables.items() if name in names]


def with_samples(upgrade, downgrade):
    """Return the two functions of a migration, with the sample tables in them."""

    def upgrade_with_samples():
        upgrade()
        sql.metadata.create_all(op.get_bind(), sample_tables())

    def downgrade_with_samples():
        sql.metadata.drop_all(op.get_bind(), sample_tables())
        downgrade()

    return upgrade_with_samples, downgrade_with_samples
