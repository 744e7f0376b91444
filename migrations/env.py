"""How Alembic meets our database: the application's engine, its models' tables."""

from alembic import context
from flask import current_app

from myapp.databases import without_limits
from myapp.db import sql


def skip_empty(_context, _revision, directives):
    """Write no migration that would change nothing."""
    if directives[0].upgrade_ops.is_empty():
        directives[:] = []


writing = getattr(context.config.cmd_opts, "autogenerate", False)

with without_limits(sql.engine), sql.engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=sql.metadata,
        process_revision_directives=skip_empty if writing else None,
        **current_app.extensions["migrate"].configure_args,
    )
    with context.begin_transaction():
        context.run_migrations()
