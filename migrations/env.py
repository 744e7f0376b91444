"""How Alembic meets our database: the application's engine, its models' tables."""

from alembic import context
from flask import current_app

from sqlalchemy import create_engine

from myapp.databases import engine_options, tuned
from myapp.db import sql


def skip_empty(_context, _revision, directives):
    """Write no migration that would change nothing."""
    if directives[0].upgrade_ops.is_empty():
        directives[:] = []


writing = getattr(context.config.cmd_opts, "autogenerate", False)

# A migration takes as long as it takes, but waits for nobody longer than a request does.
options = current_app.config["SQLALCHEMY_ENGINE_OPTIONS"]
unhurried = engine_options(sql.engine.name, {}, longest=0)["connect_args"]
options = options | {"connect_args": options["connect_args"] | unhurried}
engine = tuned(create_engine(sql.engine.url, **options))

with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=sql.metadata,
        process_revision_directives=skip_empty if writing else None,
        **current_app.extensions["migrate"].configure_args,
    )
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
