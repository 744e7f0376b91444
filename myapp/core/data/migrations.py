"""The state of the database's migrations."""

from collections.abc import Set
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask, current_app
from flask_migrate import Migrate
from sqlalchemy import inspect

from .session import sql, unit_of_work

# Hint shown when the schema misses objects our models need and was not created by an
# older release.
FOREIGN_SCHEMA_HINT = (
    "put that migration's file back and flask db downgrade; or, in development, move the "
    "database away and flask deploy"
)
MIGRATIONS = str(Path(__file__).parents[3] / "migrations")
migrate = Migrate(directory=MIGRATIONS, render_as_batch=True)
# Pairs of a database and its revisions that are known to miss nothing.
_complete_states: set[tuple[str, ...]] = set()


def init_app(app: Flask) -> None:
    """Add the command `flask db` to `app`."""
    migrate.init_app(app, sql)


@migrate.configure
def _format_with_black(config: Config) -> Config:
    # Black comes with the development tools, which production does not have.
    if find_spec("black"):
        for name, value in {
            "hooks": "black",
            "black.type": "module",
            "black.module": "black",
            "black.options": "--quiet REVISION_SCRIPT_FILENAME",
        }.items():
            config.set_section_option("post_write_hooks", name, value)
    return config


def missing_objects(recheck: bool = False) -> list[str]:
    """Return the tables, and columns as `table.column`, of our models that the database
    misses, sorted. Raises SQLAlchemyError.

    A result without any is cached for the database and its revisions; `recheck`: ignore it.
    """
    state = (
        current_app.config["SQLALCHEMY_DATABASE_URI"],
        *sorted(current_revisions()),
    )
    if state in _complete_states and not recheck:
        return []
    _complete_states.discard(state)
    with unit_of_work(writes=False):
        inspector = inspect(sql.session.connection())
        existing = {
            name: {column["name"] for column in columns}
            for (_, name), columns in inspector.get_multi_columns().items()
        }
    missing = [name for name in sql.metadata.tables if name not in existing]
    for name in sql.metadata.tables.keys() & existing.keys():
        names = sql.metadata.tables[name].columns.keys()
        missing += [f"{name}.{n}" for n in names if n not in existing[name]]
    if not missing:
        _complete_states.add(state)
    return sorted(missing)


def schema_fault(recheck: bool = False) -> str | None:
    """Return what the database lacks for this release, and the command that adds it.

    Return None if it lacks nothing. `recheck`: as for `missing_objects`. Raises
    SQLAlchemyError.
    """
    missing = missing_objects(recheck)
    if not missing:
        return None
    current = current_revisions()
    if unknown_revisions(current):
        command = "`flask deploy` says how to fix it"
    elif current == head_revisions():
        command = '`flask db migrate -m "…"` writes a migration, `flask deploy` runs it'
    else:
        command = "`flask deploy` runs the pending migrations"
    return f"The database lacks {', '.join(missing)}: {command}."


def current_revisions() -> set[str]:
    """Return the revisions of the database; none if it is empty. Raises SQLAlchemyError."""
    with unit_of_work(writes=False):
        context = MigrationContext.configure(sql.session.connection())
        return set(context.get_current_heads())


def unknown_revisions(revisions: Set[str]) -> Set[str]:
    """Return the revisions that this release does not know, because they are newer."""
    return revisions - known_revisions()


@lru_cache
def head_revisions() -> set[str]:
    """Return the newest revisions that this release knows."""
    return set(ScriptDirectory(MIGRATIONS).get_heads())


@lru_cache
def known_revisions() -> set[str]:
    """Return all revisions that this release knows."""
    return {script.revision for script in ScriptDirectory(MIGRATIONS).walk_revisions()}
