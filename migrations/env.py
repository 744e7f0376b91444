"""The environment of Alembic: the engine and the models of the application."""

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
    """Call `change`, and retry it while another transaction locks a table for too long.

    A migration that waits for a lock blocks all later transactions, so it waits only for a
    short time.
    """
    for tries_left in reversed(range(MIGRATION_ATTEMPTS)):
        try:
            return change()
        except Exception as error:
            if not is_lock_timeout(error):
                raise
            if not tries_left:
                raise CommandError(
                    "Another transaction has locked a table of this migration for "
                    f"{MIGRATION_ATTEMPTS} times {LOCK_TIMEOUT_SECONDS} seconds. Try again "
                    "when it has ended."
                ) from None
        click.echo(
            f"A table is locked. Next attempt in {MIGRATION_PAUSE_SECONDS} seconds.",
            err=True,
        )
        time.sleep(MIGRATION_PAUSE_SECONDS)


def migrate():
    """Run the migrations in a transaction."""
    with context.begin_transaction():
        context.run_migrations()


@contextmanager
def statement_by_statement(engine):
    """On MariaDB, retry single statements instead of the whole migration.

    MariaDB commits each statement, so a repeated migration would meet its own changes.
    """

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
                "know: a newer release has migrated it. It is left unchanged."
            ) from None
        raise
