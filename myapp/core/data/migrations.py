"""The state of the database's migrations."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import current_app
from flask_migrate import Migrate
from sqlalchemy import inspect

from .session import sql, unit_of_work

# What mends tables that lack something of ours, and are not of an older release.
FOREIGN = (
    "put that migration's file back and flask db downgrade; or, in development, move the "
    "database away and flask deploy"
)
MIGRATIONS = str(Path(__file__).parents[3] / "migrations")
migrate = Migrate(directory=MIGRATIONS, render_as_batch=True)


def init_app(app):
    """Give `app` the command `flask db`."""
    migrate.init_app(app, sql)


@migrate.configure
def _in_form(config):
    # Black comes with the development tools: a service that runs has none, and needs none.
    if find_spec("black"):
        for name, value in {
            "hooks": "black",
            "black.type": "module",
            "black.module": "black",
            "black.options": "--quiet REVISION_SCRIPT_FILENAME",
        }.items():
            config.set_section_option("post_write_hooks", name, value)
    return config


def lacking():
    """The tables, and columns as `table.column`, that our models name and that the database
    has not, in order. Raises SQLAlchemyError.

    That nothing is lacking is looked up once for each database and its migrations.
    """
    place = current_app.config["SQLALCHEMY_DATABASE_URI"], *sorted(migrated())
    if place in _complete:
        return []
    with unit_of_work(writes=False):
        found = inspect(sql.session.connection())
        there = {
            name: {column["name"] for column in columns}
            for (_, name), columns in found.get_multi_columns().items()
        }
    missing = [name for name in sql.metadata.tables if name not in there]
    for name in sql.metadata.tables.keys() & there.keys():
        columns = sql.metadata.tables[name].columns.keys()
        missing += [f"{name}.{c}" for c in columns if c not in there[name]]
    if not missing:
        _complete.add(place)
    return sorted(missing)


_complete = set()


def migrated():
    """The migrations that the tables are at: as `wanted_heads`, or none in an empty
    database. Raises SQLAlchemyError."""
    with unit_of_work(writes=False):
        context = MigrationContext.configure(sql.session.connection())
        return set(context.get_current_heads())


def newer(migrations):
    """Those of a set of migrations that this release does not know, but a newer one."""
    return migrations - known_migrations()


@lru_cache
def wanted_heads():
    """The newest migrations that this release knows."""
    return set(ScriptDirectory(MIGRATIONS).get_heads())


@lru_cache
def known_migrations():
    """All migrations that this release knows."""
    return {script.revision for script in ScriptDirectory(MIGRATIONS).walk_revisions()}
