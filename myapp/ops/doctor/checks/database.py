"""Checks of the database."""

import os
from pathlib import Path

from alembic.script import ScriptDirectory
from flask import current_app
from sqlalchemy import inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from ....core.data.alembic_hooks import differences_from_models
from ....core.data.migrations import (
    FOREIGN_SCHEMA_HINT,
    MIGRATIONS,
    current_revisions,
    head_revisions,
    known_revisions,
    missing_objects,
    unknown_revisions,
)
from ....core.data.replicas import REPLAYED_POSITION
from ....core.data.session import sql, unit_of_work
from ....core.observability.checks import (
    check,
    error,
    error_in_production,
    warning,
)
from ....core.settings import PREFIX, variable_name
from .common import (
    LABELS,
    MIN_VERSIONS,
    first_steps,
    query_database,
    redacted_message,
    sqlite_file,
    version_text,
)

MAX_CONNECTIONS_QUERIES = {
    "PostgreSQL": "SELECT current_setting('max_connections')",
    "MariaDB": "SELECT @@max_connections",
}


@check()
def database(config):
    """Check that the database answers, and that its version is supported."""
    url, file = make_url(config["SQLALCHEMY_DATABASE_URI"]), sqlite_file(config)
    label = LABELS[url.get_backend_name()]
    if file and not os.path.exists(file):  # connecting would create it
        message = f"{file} does not exist yet"
        if not os.path.isdir(os.path.dirname(file)):
            hint = f"mkdir -p {os.path.dirname(file)}"
            yield error(f"{message}, and its folder is missing", hint)
        else:
            hint = first_steps(config)
            if others := sorted(Path(file).parent.glob("*.sqlite3")):
                message += f", but {others[0]} does"
                move = f"move {others[0].name}* to the new name"
                hint = f"if that is the right one, {move}; otherwise {hint}"
            yield error_in_production(config, message, hint)
        return
    place = f"{url.host or 'localhost'}:{url.port}" if url.port else url.host
    where = file or f"{place or 'localhost'}/{url.database}"
    try:
        _, ms = query_database("SELECT 1")
    except SQLAlchemyError as exception:
        hint = f"start it, or correct {variable_name('SQLALCHEMY_DATABASE_URI')}"
        if file:
            hint = f"allow this account to read and write {file}"
        if file and is_corrupt(file, exception):
            hint = "move it away; then flask restore with a backup of it, or "
            hint += first_steps(config)
        yield error(
            f"{label} at {where} refuses access: {redacted_message(exception)}",
            hint,
        )
        return
    dialect = sql.engine.dialect
    if label == "MariaDB" and not dialect.is_mariadb:
        yield error(f"{where} is MySQL", "MariaDB, PostgreSQL or SQLite")
    version, oldest = dialect.server_version_info, MIN_VERSIONS[label]
    if version < oldest:
        message = (
            f"{label} {version_text(version)} is older than {version_text(oldest)}"
        )
        yield error(message, "flask backup, then a newer one")
    return f"{label} {version_text(version)} at {where}, {ms:.1f} ms"


def is_corrupt(file, error):
    """Return whether the file at the database's path is no database."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorname", "")
    return os.path.isdir(file) or code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT"))


@check(after="database")
def migrations(config):
    """Check that all migrations have run."""
    current, known = current_revisions(), known_revisions()
    if ahead := unknown_revisions(current):
        if missing_objects():
            return f"at {', '.join(ahead)}, which this release does not know"
        return (
            f"at {', '.join(ahead)}, of a newer release; this release can work with it"
        )
    if current == head_revisions():
        return f"{len(known)}, all have run"
    with unit_of_work(writes=False):
        tables = set(inspect(sql.session.connection()).get_table_names())
    if current:
        scripts = ScriptDirectory(MIGRATIONS)
        waiting = sum(1 for _ in scripts.iterate_revisions("heads", current))
        yield error(f"{waiting} of {len(known)} have not run yet", "flask deploy")
    elif tables & sql.metadata.tables.keys():
        message = "the tables do not tell which migrations have created them"
        yield error(message, "flask db stamp REVISION, then flask deploy")
    else:
        yield error("the database is empty", first_steps(config))


@check(after="migrations")
def models(_config):
    """Compare the tables with the models; those of a newer release may have more."""
    if unknown_revisions(current_revisions()):
        if missing := missing_objects():
            yield error(
                f"no migration has created {', '.join(missing)}", FOREIGN_SCHEMA_HINT
            )
        return
    with unit_of_work(writes=False):
        changes = differences_from_models(sql.session.connection())
    new, leaving = set(), set()
    for change in changes:  # Alembic puts the changes of one column into a list
        for verb, *what in change if isinstance(change, list) else [change]:
            (leaving if verb.startswith("remove_") else new).add(
                changed_object(verb, what)
            )
    for names in (new, leaving):  # leave out the indexes of a table that is named
        names -= {name for name in names if name.partition(" of ")[2] in names}
    if new:
        message = f"no migration has created {', '.join(sorted(new))}"
        yield error(message, 'flask db migrate -m "what is new", then flask deploy')
    if leaving:
        message = f"no model has {', '.join(sorted(leaving))}"
        yield warning(message, 'flask db migrate -m "what goes", a release later')
    return f"{len(sql.metadata.tables)} tables match the models"


def changed_object(verb, what):
    """Return the table, or table.column, that a change of Alembic's is about."""
    if verb.endswith("_table"):
        return what[0].name
    if verb.endswith("_column"):
        return f"{what[1]}.{what[2].name}"
    if verb.startswith("modify_"):
        return f"{what[1]}.{what[2]}"
    return f"{what[0].name} of {what[0].table.name}"


@check(after="database")
def connections(config):
    """Compare how many connections this host may open with how many the server allows."""
    label = LABELS[sql.engine.dialect.name]
    if label not in MAX_CONNECTIONS_QUERIES:
        return
    most, cores = (
        int(query_database(MAX_CONNECTIONS_QUERIES[label])[0]),
        os.cpu_count() or 1,
    )
    # myapp.ini starts a process for each core and one more, Celery one for each
    # core. A process handles one request at a time, with a connection to read and one to
    # write.
    web = int(os.environ.get("WEB_CONCURRENCY", cores + 1))
    wanted = 2 * (web + cores)
    message = f"this host may open {wanted}, {label} allows {most}"
    if wanted > most:
        hint = f"max_connections = {2 * wanted}"
        yield error_in_production(config, message, hint)
    return message


@check()
def replicas(_config):
    """Check that each replica follows the primary; they are numbered as in the setting."""
    known = current_app.extensions["replicas"]
    for number, replica in enumerate(known.all if known else (), 1):
        hint = f"start it, or remove it from {PREFIX}SQLALCHEMY_REPLICA_URIS"
        try:
            with replica.engine.connect() as connection:
                position = connection.scalar(text(REPLAYED_POSITION))
        except SQLAlchemyError as exception:
            yield error(
                f"number {number} refuses access: {redacted_message(exception)}",
                hint,
            )
        else:
            if position is None:
                yield error(f"number {number} is not a replica", hint)
    return known and f"{len(known.all)}, all follow"
