"""What several checks share."""

import os
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from flask import current_app
from sqlalchemy import make_url, text

from ....core.data.session import sql, unit_of_work
from ....core.data.statements import in_memory
from ....core.settings import environment
from ...copy_database import said
from ..report import advice, wrong

ROOT = Path(__file__).parents[4]
NGINX = "deploy/nginx.conf"
# The oldest that have what we rely on: RETURNING and FOR UPDATE SKIP LOCKED, and on
# PostgreSQL what replicas.py asks; of Redis, and Python, the oldest that somebody tends.
OLDEST = {
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


def in_production(config):
    return config.get("CONFIG_NAME", environment()) == "production"


def graver(config):
    """`wrong` in production, where it costs something; elsewhere `advice`."""
    return wrong if in_production(config) else advice


def quoted(error):
    """What somebody else's error says, on one line, without any secret of ours."""
    words = " ".join(said(error).split())
    for secret in sorted(not_to_be_shown(current_app.config), key=len, reverse=True):
        words = words.replace(secret, "***")
    return words


def not_to_be_shown(config):
    """Every secret and password in the settings, as far as there are any."""
    names = (*SECRETS, "AUTH_PASSWORD1", "AUTH_PASSWORD2")
    found = {config.get(name) for name in names}
    found |= set(config.get("JWT_FORMER_SECRET_KEYS", ()))
    names = ("SQLALCHEMY_DATABASE_URI", "REDIS_URL", "BROKER_URL")
    urls = [config.get(name) or "" for name in names]
    for url in (*urls, *config.get("SQLALCHEMY_REPLICA_URIS", ())):
        password = urlsplit(url).netloc.rpartition("@")[0].partition(":")[2]
        found |= {password, unquote(password)}
    return found - {None, ""}


def sqlite_file(config):
    """The path of the database's file; None where it is in memory, or no SQLite."""
    url = make_url(config["SQLALCHEMY_DATABASE_URI"])
    if url.get_backend_name() == "sqlite" and not in_memory(url):
        return os.path.abspath(url.database)


def asked(question):
    """What the database answers, and in how many milliseconds once it is connected."""
    with unit_of_work(writes=False):
        connection = sql.session.connection()
        began = time.perf_counter()
        answer = connection.scalar(text(question))
        return answer, (time.perf_counter() - began) * 1000


def dotted(version):
    return ".".join(str(part) for part in version if isinstance(part, int))


def first_steps(config):
    """The command that makes the tables."""
    return "flask deploy" if in_production(config) else "make run, or flask init-db"
