"""All checks, in the order in which they run."""

from .database import accounts, connections, database, migrations, models, replicas
from .machine import folders, open_files, packages, port, python, readers
from .redis import beat, broker, clocks, redis, worker
from .settings import dotenv, limits, secrets, settings

# Each check, and the one that must have had a fact to tell of. The first few need no
# application, and so cope where the settings are such that there is none.
BEFORE = dict.fromkeys((python, packages, settings, dotenv, readers, open_files))
CHECKS = BEFORE | {
    folders: None,
    port: None,
    secrets: None,
    limits: None,
    database: None,
    migrations: "database",
    models: "migrations",
    accounts: "migrations",
    connections: "database",
    replicas: None,
    redis: None,
    broker: None,
    worker: "redis",
    beat: "redis",
    clocks: None,
}
