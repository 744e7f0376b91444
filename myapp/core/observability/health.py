"""Whether the stores answer and the database is up to date."""

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from ..data.migrations import lacking, migrated, newer, wanted_heads
from ..data.redis import redis_store
from ..data.session import sql, unit_of_work


def check_database():
    """`ok`, or why the database is of no use now."""
    try:
        with unit_of_work(writes=False):
            sql.session.execute(sql.text("SELECT 1"))
    except SQLAlchemyError:
        return "does not answer"
    return "ok"


def check_migrations():
    """`ok`, or what is to be done about the tables.

    A newer release that has migrated them saw to it that we can work with them (gate.py).
    What lacks something of ours is of no such release.
    """
    try:
        current = migrated()
        if current == wanted_heads():
            return "ok"
        if newer(current):
            return "foreign: `flask deploy` says what they lack" if lacking() else "ok"
    except SQLAlchemyError:
        return "unknown: the database does not answer"
    return "pending: run `flask deploy`"


def check_redis():
    """`ok`, or why Redis is of no use now."""
    try:
        redis_store.ping()
    except RedisError:
        return "does not answer"
    return "ok"
