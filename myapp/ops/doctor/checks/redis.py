"""Checks of Redis, the workers and the clocks."""

import time
from urllib.parse import urlsplit

from flask import current_app
from redis.exceptions import RedisError, ResponseError
from sqlalchemy.exc import SQLAlchemyError

from ....core.data.redis import (
    CLUSTER_SCHEME,
    FAIL_FAST_OPTIONS,
    SENTINEL_SCHEME,
    ClientFactory,
    redis_store,
)
from ....core.data.session import sql
from ....core.jobs.worker import WORKERS_KEY, check_beat, check_worker
from ....core.observability.checks import (
    check,
    error,
    error_in_production,
    is_production,
    warning,
)
from ....core.observability.health import check_redis
from ....core.settings import variable_name
from .common import LABELS, MIN_VERSIONS, query_database, redacted_message, version_text

TIME_QUERIES = {
    "PostgreSQL": "SELECT extract(epoch from clock_timestamp())",
    "MariaDB": "SELECT unix_timestamp(sysdate(6))",
}
SKEW_SECONDS = 2  # tokens and replicas count in seconds


@check()
def redis(config):
    """Check that Redis answers, and that it keeps what it has acknowledged."""
    if config["REDIS_EMBEDDED"] and check_redis() != "ok":
        if is_production(config):
            yield error("there is none", "REDIS_URL=redis://…")
        else:
            message = "the embedded one runs only during make run"
            yield warning(message, "make run")
        return
    return (yield from check_server(redis_store, "REDIS_URL"))


@check()
def broker(config):
    """Check the Redis that carries tasks, if it is another one."""
    if config["BROKER_URL"] == config["REDIS_URL"]:
        return
    client = ClientFactory.from_url(config["BROKER_URL"], **FAIL_FAST_OPTIONS)
    try:
        return (yield from check_server(client, "BROKER_URL"))
    finally:
        client.close()


def check_server(client, setting):
    """Check the Redis that this setting names; of a Cluster, one node."""
    url = current_app.config[setting]
    split = urlsplit(url)
    where = f"{split.scheme}://{split.netloc.rpartition('@')[2]}{split.path}"
    try:
        client.ping()
        began = time.perf_counter()
        client.ping()
        ms = (time.perf_counter() - began) * 1000
        info = client.info()
    except RedisError as exception:
        hint = f"start it, or correct {variable_name(setting)}"
        yield error(f"{where} refuses access: {redacted_message(exception)}", hint)
        return
    version, label = info["redis_version"], "Redis"
    if tuple(map(int, version.split(".")[:2])) < MIN_VERSIONS["Redis"]:
        message = f"{version} is older than {version_text(MIN_VERSIONS['Redis'])}"
        yield error(message, "a newer Redis, or Valkey")
    if "valkey_version" in info:
        version, label = info["valkey_version"], "Valkey"
    if info["role"] == "slave" and split.scheme not in (
        SENTINEL_SCHEME,
        CLUSTER_SCHEME,
    ):
        hint = f"set {variable_name(setting)} to its primary"
        yield error(f"{where} is a replica", hint)
    yield from check_persistence(client, info)
    return f"{label} {version} at {where}, {ms:.1f} ms"


def check_persistence(client, info):
    """Check that a Redis does not lose what it has acknowledged."""
    try:
        saves = client.config_get("save").get("save")
    except ResponseError:  # managed services forbid the command
        saves = None
    if not info["aof_enabled"]:
        level = error if saves == "" else warning
        lost = "all" if saves == "" else "all changes since its last save"
        yield level(f"after a crash, it loses {lost}", "appendonly yes")
    if (policy := info["maxmemory_policy"]) != "noeviction":
        level = error if info["maxmemory"] else warning
        message = f"when its memory is full, it deletes keys: {policy}"
        yield level(message, "maxmemory-policy noeviction")
    elif 0 < info["maxmemory"] < info["used_memory"] * 1.1:
        yield warning("its memory is nearly full", "a higher maxmemory")
    for name in ("aof_last_write_status", "rdb_last_bgsave_status"):
        if info[name] != "ok":
            yield error(
                f"it cannot save: {name} {info[name]}", "free space on its disk"
            )


@check(after="redis")
def worker(config):
    """Check that a worker runs."""
    if check_worker() != "ok":
        hint = start_command(config, "worker")
        yield error_in_production(config, "none answers, so tasks wait", hint)
    return f"{redis_store.zcount(WORKERS_KEY, int(time.time()), '+inf')} at work"


@check(after="redis")
def beat(config):
    """Check that the scheduler of periodic tasks runs."""
    if check_beat() != "ok":
        message = "none runs, so periodic tasks do not run"
        yield error_in_production(config, message, start_command(config, "beat"))
    return "ticks"


def start_command(config, command):
    """Return how to start `flask worker` or `flask beat`."""
    if is_production(config):
        return f"systemctl start myapp-{command}, or flask {command}"
    return f"make run, or flask {command}"


@check()
def clocks(_config):
    """Compare our clock with those of the servers; tokens expire by them."""
    apart = []
    for name, ask in (("the database", sql_time), ("Redis", redis_time)):
        before = time.time()
        theirs = ask()
        if theirs is None:
            continue
        ahead = theirs - (before + time.time()) / 2
        apart.append(abs(ahead))
        if abs(ahead) > SKEW_SECONDS:
            where = "ahead of" if ahead > 0 else "behind"
            message = f"{name} is {abs(ahead):.0f} s {where} us"
            yield error(message, "timedatectl set-ntp true, here and there")
    return apart and f"at most {max(apart):.2f} s apart"


def sql_time():
    """Return the database's epoch second; None if it has no clock, or does not answer."""
    question = TIME_QUERIES.get(LABELS[sql.engine.dialect.name])
    try:
        return question and float(query_database(question)[0])
    except SQLAlchemyError:
        return None


def redis_time():
    """Return the epoch second of Redis; None if it does not answer."""
    try:
        seconds, microseconds = redis_store.time()
    except RedisError:
        return None
    return seconds + microseconds / 1e6
