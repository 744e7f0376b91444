"""Checks of the database."""

import os
from pathlib import Path

from alembic.script import ScriptDirectory
from flask import current_app
from sqlalchemy import inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from ....core.data.alembic_hooks import unlike_the_models
from ....core.data.migrations import (
    FOREIGN,
    MIGRATIONS,
    known_migrations,
    lacking,
    migrated,
    newer,
)
from ....core.data.replicas import REPLAYED
from ....core.data.session import sql, unit_of_work
from ....core.observability.health import check_migrations
from ....core.settings import PREFIX, variable
from ..report import advice, wrong
from .common import (
    LABELS,
    OLDEST,
    asked,
    dotted,
    first_steps,
    graver,
    in_production,
    quoted,
    sqlite_file,
)

MOST = {
    "PostgreSQL": "SELECT current_setting('max_connections')",
    "MariaDB": "SELECT @@max_connections",
}


# The database
def database(config):
    url, file = make_url(config["SQLALCHEMY_DATABASE_URI"]), sqlite_file(config)
    label = LABELS[url.get_backend_name()]
    if file and not os.path.exists(file):  # to connect would make it
        told = f"{file} is not there yet"
        if not os.path.isdir(os.path.dirname(file)):
            yield wrong(
                f"{told}, nor is its folder", f"mkdir -p {os.path.dirname(file)}"
            )
        else:
            mend = first_steps(config)
            if others := sorted(Path(file).parent.glob("*.sqlite3")):
                told += f", but {others[0]} is"
                mend = (
                    f"if that is yours, move {others[0].name}* to the new name; else "
                )
                mend += first_steps(config)
            yield graver(config)(told, mend)
        return
    place = f"{url.host or 'localhost'}:{url.port}" if url.port else url.host
    where = file or f"{place or 'localhost'}/{url.database}"
    try:
        _, ms = asked("SELECT 1")
    except SQLAlchemyError as error:
        mend = f"start it, or set {variable('SQLALCHEMY_DATABASE_URI')} right"
        if file:
            mend = f"give this account leave to read and write {file}"
        if file and is_spoilt(file, error):
            mend = "move it away; then flask restore with a backup of it, or "
            mend += first_steps(config)
        yield wrong(f"{label} at {where} does not let us in: {quoted(error)}", mend)
        return
    dialect = sql.engine.dialect
    if label == "MariaDB" and not dialect.is_mariadb:
        yield wrong(f"{where} is MySQL", "MariaDB, PostgreSQL or SQLite")
    version, oldest = dialect.server_version_info, OLDEST[label]
    if version < oldest:
        told = f"{label} {dotted(version)} is older than {dotted(oldest)}"
        yield wrong(told, "flask backup, then a newer one")
    return f"{label} {dotted(version)} at {where}, {ms:.1f} ms"


def is_spoilt(file, error):
    """Whether what stands at the database's path is none."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorname", "")
    return os.path.isdir(file) or code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT"))


def migrations(config):
    current, known = migrated(), known_migrations()
    if ahead := newer(current):
        if lacking():
            return f"at {', '.join(ahead)}, which this release does not know"
        return f"at {', '.join(ahead)}, of a newer release; we can work with it"
    if check_migrations() == "ok":
        return f"{len(known)}, all of them have run"
    with unit_of_work(writes=False):
        tables = set(inspect(sql.session.connection()).get_table_names())
    if current:
        scripts = ScriptDirectory(MIGRATIONS)
        waiting = sum(1 for _ in scripts.iterate_revisions("heads", current))
        yield wrong(f"{waiting} of {len(known)} have not run yet", "flask deploy")
    elif tables & sql.metadata.tables.keys():
        told = "tables are there, but not which migrations have made them"
        yield wrong(told, "flask db stamp and the one that they are at; flask deploy")
    else:
        yield wrong("the database is empty", first_steps(config))


def models(_config):
    """Whether the tables are what the models say; a newer release's have more."""
    if newer(migrated()):
        if missing := lacking():
            yield wrong(f"no migration has made {', '.join(missing)}", FOREIGN)
        return
    with unit_of_work(writes=False):
        changes = unlike_the_models(sql.session.connection())
    new, leaving = set(), set()
    for change in changes:  # those of one column stand in a list of their own
        for verb, *what in change if isinstance(change, list) else [change]:
            (leaving if verb.startswith("remove_") else new).add(named(verb, what))
    for names in (new, leaving):  # the indexes of a table go with it
        names -= {name for name in names if name.partition(" of ")[2] in names}
    if new:
        told = f"no migration has made {', '.join(sorted(new))}"
        yield wrong(told, 'flask db migrate -m "what is new", then flask deploy')
    if leaving:
        told = f"no model names {', '.join(sorted(leaving))}"
        yield advice(told, 'flask db migrate -m "what goes", a release later')
    return f"{len(sql.metadata.tables)} tables, as they say"


def named(verb, what):
    """The table, or table.column, that one of Alembic's changes is about."""
    if verb.endswith("_table"):
        return what[0].name
    if verb.endswith("_column"):
        return f"{what[1]}.{what[2].name}"
    if verb.startswith("modify_"):
        return f"{what[1]}.{what[2]}"
    return f"{what[0].name} of {what[0].table.name}"


def accounts(config):
    """Whether somebody can come in, and who should not."""
    people, _ = current_app.extensions["doctor"]
    found, hire = people(), "flask adduser NAME --role admin"
    if not found["roles"]:
        yield wrong("the built-in roles are not there", "flask deploy")
    elif not found["number"]:
        yield graver(config)("there are none", hire)
    elif in_production(config) and not found["admin"]:
        yield advice("nobody may do everything", hire)
    for name in found["known"] if in_production(config) else ():
        yield wrong(f"everybody knows the password of {name}", f"flask passwd {name}")
    admin = "an admin is" if found["admin"] else "no admin"
    return f"{found['number']}, {admin} among them"


def connections(config):
    """What the processes of this host may hold, against what the server has."""
    label = LABELS[sql.engine.dialect.name]
    if label not in MOST:
        return
    most, cores = int(asked(MOST[label])[0]), os.cpu_count() or 1
    # In myapp.ini one process for each core and one more, Celery's for each
    # core; each does one thing at a time, and reads on one connection and
    # writes on another.
    web = int(os.environ.get("WEB_CONCURRENCY", cores + 1))
    wanted = 2 * (web + cores)
    told = f"this host may want {wanted}, {label} has {most}"
    if wanted > most:
        yield graver(config)(told, f"max_connections = {2 * wanted}")
    return told


def replicas(_config):
    """Whether those that are read from follow; each by its place in the setting."""
    known = current_app.extensions["replicas"]
    for number, replica in enumerate(known.all if known else (), 1):
        mend = f"start it, or take it out of {PREFIX}SQLALCHEMY_REPLICA_URIS"
        try:
            with replica.engine.connect() as connection:
                position = connection.scalar(text(REPLAYED))
        except SQLAlchemyError as error:
            yield wrong(f"number {number} does not let us in: {quoted(error)}", mend)
        else:
            if position is None:
                yield wrong(f"number {number} is no replica of anything", mend)
    return known and f"{len(known.all)}, all of them follow"
