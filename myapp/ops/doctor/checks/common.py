"""Constants and helpers that several checks share."""

import os
import time
from urllib.parse import unquote, urlsplit

from flask import current_app
from sqlalchemy import make_url, text

from ....core.data.session import sql, unit_of_work
from ....core.data.statements import is_in_memory
from ....core.observability.checks import is_production
from ...databases import error_message

# The oldest versions that have what the service relies on: RETURNING, FOR UPDATE SKIP
# LOCKED, and on PostgreSQL the functions that replicas.py calls. Of Redis and Python, the
# oldest that are still maintained.
MIN_VERSIONS = {
    "Python": (3, 11),
    "SQLite": (3, 35),
    "PostgreSQL": (12,),
    "MariaDB": (10, 6),
    "Redis": (6, 2),
}
LABELS = {
    "sqlite": "SQLite",
    "postgresql": "PostgreSQL",
    "mysql": "MariaDB",
    "mariadb": "MariaDB",
}
SECRETS = ("SECRET_KEY", "JWT_SECRET_KEY")


def redacted_message(error):
    """Return the message of a library's error on one line, without our secrets."""
    words = " ".join(error_message(error).split())
    for secret in sorted(secrets_to_redact(current_app.config), key=len, reverse=True):
        words = words.replace(secret, "***")
    return words


def secrets_to_redact(config):
    """Return every secret and password in the settings, which may be incomplete."""
    names = (*SECRETS, "AUTH_PASSWORD1", "AUTH_PASSWORD2")
    secrets = {config.get(name) for name in names}
    secrets |= set(config.get("JWT_FORMER_SECRET_KEYS", ()))
    names = ("SQLALCHEMY_DATABASE_URI", "REDIS_URL", "BROKER_URL")
    urls = [config.get(name) or "" for name in names]
    for url in (*urls, *config.get("SQLALCHEMY_REPLICA_URIS", ())):
        password = urlsplit(url).netloc.rpartition("@")[0].partition(":")[2]
        secrets |= {password, unquote(password)}
    return secrets - {None, ""}


def sqlite_file(config):
    """Return the path of the database's file; None if it has none."""
    url = make_url(config["SQLALCHEMY_DATABASE_URI"])
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
    """Return a version as text, without what is no number."""
    return ".".join(str(part) for part in version if isinstance(part, int))


def first_steps(config):
    """Return the command that creates the tables."""
    return "flask deploy" if is_production(config) else "make run, or flask init-db"
