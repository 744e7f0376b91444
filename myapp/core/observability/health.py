"""Health of the stores and of the database schema."""

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from ..data.migrations import (
    current_revisions,
    head_revisions,
    schema_fault,
    unknown_revisions,
)
from ..data.redis import redis_store
from ..data.session import sql, unit_of_work


def check_database() -> str:
    """Return `ok` if the database answers, else the reason."""
    try:
        with unit_of_work(writes=False):
            sql.session.execute(sql.text("SELECT 1"))
    except SQLAlchemyError:
        return "does not answer"
    return "ok"


def check_migrations() -> str:
    """Return `ok` if the schema fits this release, else the reason.

    A schema of a newer release fits too, because the schema gate has checked that this
    release works with it.
    """
    try:
        current = current_revisions()
        if current == head_revisions() or unknown_revisions(current):
            return schema_fault() or "ok"
    except SQLAlchemyError:
        return "unknown: the database does not answer"
    return "pending: run `flask deploy`"


def check_redis() -> str:
    """Return `ok` if Redis answers, else the reason."""
    try:
        redis_store.ping()
    except RedisError:
        return "does not answer"
    return "ok"
