"""How Alembic meets our database: the application's engine, its models' tables."""

import time
from contextlib import contextmanager

import click
from alembic import context
from alembic.util import CommandError
from flask import current_app
from sqlalchemy import event

from myapp.core.data.alembic_hooks import (
    check_foreign_keys,
    foreign_keys_disabled,
    normalize_directives,
    render_item,
)
from myapp.core.data.dialects import (
    LOCK_TIMEOUT_SECONDS,
    MIGRATION_ATTEMPTS,
    MIGRATION_PAUSE_SECONDS,
    is_lock_timeout,
    without_timeouts,
)
from myapp.core.data.migrations import unknown_revisions
from myapp.core.data.session import sql


def patiently(change):
    """Do it; again and again where somebody else holds a table for too long.

    Whoever waits for a table keeps all who come later waiting, so we never wait for long.
    """
    for tries_left in reversed(range(MIGRATION_ATTEMPTS)):
        try:
            return change()
        except Exception as error:
            if not is_lock_timeout(error):
                raise
            if not tries_left:
                raise CommandError(
                    "Somebody has held a table that this changes for "
                    f"{MIGRATION_ATTEMPTS} times "
                    f"{LOCK_TIMEOUT_SECONDS} seconds: a long transaction? Try again "
                    "when it has ended."
                ) from None
        click.echo(
            f"Somebody holds a table; again in {MIGRATION_PAUSE_SECONDS} seconds.",
            err=True,
        )
        time.sleep(MIGRATION_PAUSE_SECONDS)


def migrate():
    with context.begin_transaction():
        context.run_migrations()


@contextmanager
def statement_by_statement(engine):
    """Be patient with each statement where it stays done whatever becomes of the next one,
    as on MariaDB: a migration that began anew would find its own first half."""

    def execute(cursor, statement, parameters, _context):
        patiently(lambda: cursor.execute(statement, parameters))
        return True

    if engine.dialect.driver != "pymysql":
        yield
        return
    event.listen(engine, "do_execute", execute)
    try:
        yield
    finally:
        event.remove(engine, "do_execute", execute)


writing = getattr(context.config.cmd_opts, "autogenerate", False)

with (
    without_timeouts(sql.engine),
    sql.engine.connect() as connection,
    foreign_keys_disabled(connection),
):
    context.configure(
        connection=connection,
        target_metadata=sql.metadata,
        render_item=render_item,
        process_revision_directives=normalize_directives if writing else None,
        on_version_apply=check_foreign_keys,
        **current_app.extensions["migrate"].configure_args,
    )
    try:
        with statement_by_statement(sql.engine):
            patiently(migrate)
    except CommandError:
        ahead = unknown_revisions(set(context.get_context().get_current_heads()))
        if ahead:
            raise CommandError(
                f"The database is at {', '.join(ahead)}, which this release does not "
                "know: a newer one has migrated it. Its tables stay as they are."
            ) from None
        raise
