"""Checks of the database."""

import os
import time
from pathlib import Path

from alembic.script import ScriptDirectory
from flask import current_app
from sqlalchemy import inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from ...core.data import migrations
from ...core.data.alembic_hooks import differences_from_models
from ...core.data.replicas import REPLAYED_POSITION
from ...core.data.session import sql, unit_of_work
from ...core.data.statements import is_in_memory
from ...core.observability.checks import Error, Ok, Warning, check
from ...core.settings import PREFIX, variable_name
from .settings import redacted_message

LABELS = dict(
    sqlite="SQLite", postgresql="PostgreSQL", mysql="MariaDB", mariadb="MariaDB"
)
# The oldest versions with what the service relies on: RETURNING, FOR UPDATE SKIP LOCKED,
# and on PostgreSQL the functions that replicas.py calls.
MIN_VERSIONS = {"SQLite": (3, 35), "PostgreSQL": (12,), "MariaDB": (10, 6)}
NOT_A_DATABASE = "SQLITE_NOTADB", "SQLITE_CORRUPT"
MAX_CONNECTIONS_QUERIES = {
    "PostgreSQL": "SELECT current_setting('max_connections')",
    "MariaDB": "SELECT @@max_connections",
}


@check("database")
def check_database(context):
    """Check that the database answers, and that its version is supported."""
    url = make_url(context.config["SQLALCHEMY_DATABASE_URI"])
    file = sqlite_file(url)
    if file and not os.path.exists(file):  # connecting would create it
        yield missing_file(context, Path(file))
        return
    label, host = LABELS[url.get_backend_name()], url.host or "localhost"
    port = f":{url.port}" if url.port else ""
    where = file or f"{host}{port}/{url.database}"
    try:
        _, ms = query_database("SELECT 1")
    except SQLAlchemyError as exception:
        hint = f"start it, or correct {variable_name('SQLALCHEMY_DATABASE_URI')}"
        if file:
            hint = f"allow this account to read and write {file}"
        code = getattr(getattr(exception, "orig", None), "sqlite_errorname", "")
        if file and (os.path.isdir(file) or code.startswith(NOT_A_DATABASE)):
            backup = "flask restore with a backup of it"
            hint = f"move it away; then {backup}, or {first_steps(context)}"
        message = f"{label} at {where} refuses access: {redacted_message(exception)}"
        yield Error(message, hint, "database.E003")
        return
    if label == "MariaDB" and not sql.engine.dialect.is_mariadb:
        hint = "MariaDB, PostgreSQL or SQLite"
        yield Error(f"{where} is MySQL", hint, "database.E004")
    version, oldest = sql.engine.dialect.server_version_info, MIN_VERSIONS[label]
    fact = f"{label} {version_text(version)}"
    if version < oldest:
        message = f"{fact} is older than {version_text(oldest)}"
        yield Error(message, "flask backup, then a newer one", "database.E005")
    yield Ok(f"{fact} at {where}, {ms:.1f} ms")


def missing_file(context, file):
    """Return the message about a SQLite database that does not exist."""
    message, hint = f"{file} does not exist yet", first_steps(context)
    if not file.parent.is_dir():
        message += ", and its folder is missing"
        return Error(message, f"mkdir -p {file.parent}", "database.E001")
    if others := sorted(file.parent.glob("*.sqlite3")):
        message += f", but {others[0]} does"
        move = f"move {others[0].name}* to the new name"
        hint = f"if that is the right one, {move}; otherwise {hint}"
    return context.error_on_deploy(message, hint, "database.E002")


def first_steps(context):
    """Return the command that creates the tables."""
    return "flask deploy" if context.deploy else "make run, or flask init-db"


def sqlite_file(url):
    """Return the path of the database's file; None if it has none."""
    if url.get_backend_name() == "sqlite" and not is_in_memory(url):
        return os.path.abspath(url.database)


def query_database(question):
    """Return the answer of the database, and its time in milliseconds once connected."""
    with unit_of_work(writes=False):
        connection = sql.session.connection()
        began = time.perf_counter()
        answer = connection.scalar(text(question))
        return answer, (time.perf_counter() - began) * 1000


def version_text(version):
    """Return a version as text, without parts that are not numbers."""
    return ".".join(str(part) for part in version if isinstance(part, int))


@check("migrations", after="database")
def check_migrations(context):
    """Check that all migrations have run."""
    current, known = migrations.current_revisions(), migrations.known_revisions()
    if ahead := migrations.unknown_revisions(current):
        fact = "of a newer release; this release can work with it"
        if migrations.missing_objects():
            fact = "which this release does not know"
        yield Ok(f"at {', '.join(ahead)}, {fact}")
        return
    if current != migrations.head_revisions():
        with unit_of_work(writes=False):
            tables = set(inspect(sql.session.connection()).get_table_names())
        if current:
            scripts = ScriptDirectory(migrations.MIGRATIONS)
            waiting = sum(1 for _ in scripts.iterate_revisions("heads", current))
            message = f"{waiting} of {len(known)} have not run yet"
            yield Error(message, "flask deploy", "migrations.E001")
        elif tables & sql.metadata.tables.keys():
            message = "the tables do not tell which migrations have created them"
            hint = "flask db stamp REVISION, then flask deploy"
            yield Error(message, hint, "migrations.E002")
        else:
            message, hint = "the database is empty", first_steps(context)
            yield Error(message, hint, "migrations.E003")
        return
    yield Ok(f"{len(known)}, all have run")


@check("models", after="migrations")
def check_models(_context):
    """Compare the tables with the models; those of a newer release may have more."""
    if migrations.unknown_revisions(migrations.current_revisions()):
        if missing := migrations.missing_objects():
            message = f"no migration has created {', '.join(missing)}"
            yield Error(message, migrations.FOREIGN_SCHEMA_HINT, "models.E001")
        return
    with unit_of_work(writes=False):
        changes = differences_from_models(sql.session.connection())
    new, leaving = set(), set()
    for change in changes:  # Alembic puts the changes of one column into a list
        for verb, *what in change if isinstance(change, list) else [change]:
            names = leaving if verb.startswith("remove_") else new
            names.add(changed_object(verb, what))
    for names in (new, leaving):  # leave out the indexes of a table that is named
        names -= {name for name in names if name.partition(" of ")[2] in names}
    if new:
        message = f"no migration has created {', '.join(sorted(new))}"
        hint = 'flask db migrate -m "what is new", then flask deploy'
        yield Error(message, hint, "models.E002")
    if leaving:
        message = f"no model has {', '.join(sorted(leaving))}"
        hint = 'flask db migrate -m "what goes", a release later'
        yield Warning(message, hint, "models.W003")
    yield Ok(f"{len(sql.metadata.tables)} tables match the models")


def changed_object(verb, what):
    """Return the table, or table.column, that a change of Alembic's is about."""
    if verb.endswith("_table"):
        return what[0].name
    if verb.endswith("_column") or verb.startswith("modify_"):
        return f"{what[1]}.{getattr(what[2], 'name', what[2])}"
    return f"{what[0].name} of {what[0].table.name}"


@check("connections", after="database")
def check_connections(context):
    """Compare how many connections this host may open with how many the server allows."""
    label = LABELS[sql.engine.dialect.name]
    if label not in MAX_CONNECTIONS_QUERIES:
        return
    most = int(query_database(MAX_CONNECTIONS_QUERIES[label])[0])
    # myapp.ini starts a process for each core and one more, Celery one for each
    # core. A process handles one request at a time, with a connection to read and one
    # to write.
    cores = os.cpu_count() or 1
    wanted = 2 * (int(os.environ.get("WEB_CONCURRENCY", cores + 1)) + cores)
    message = f"this host may open {wanted}, {label} allows {most}"
    if wanted > most:
        hint = f"max_connections = {2 * wanted}"
        yield context.error_on_deploy(message, hint, "connections.E001")
    yield Ok(message)


@check("replicas")
def check_replicas(_context):
    """Check that each replica follows the primary; they are numbered as in the setting."""
    known = current_app.extensions["replicas"]
    if not known:
        return
    hint = f"start it, or remove it from {PREFIX}SQLALCHEMY_REPLICA_URIS"
    for number, replica in enumerate(known.all, 1):
        try:
            with replica.engine.connect() as connection:
                position = connection.scalar(text(REPLAYED_POSITION))
        except SQLAlchemyError as exception:
            message = f"number {number} refuses access: {redacted_message(exception)}"
            yield Error(message, hint, "replicas.E001")
        else:
            if position is None:
                yield Error(f"number {number} is not a replica", hint, "replicas.E002")
    yield Ok(f"{len(known.all)}, all follow")
