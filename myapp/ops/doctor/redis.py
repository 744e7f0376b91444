"""Checks of Redis, the workers and the clocks."""

import time
from urllib.parse import urlsplit

from redis.exceptions import RedisError, ResponseError
from sqlalchemy.exc import SQLAlchemyError

from ...core.data import redis
from ...core.data.redis import redis_store
from ...core.data.session import sql
from ...core.jobs import worker
from ...core.observability import health
from ...core.observability.checks import Error, Ok, Warning, check
from ...core.settings import variable_name
from .database import query_database, version_text
from .settings import redacted_message

MIN_REDIS = 6, 2  # the oldest that is maintained
TIME_QUERIES = {
    "postgresql": "SELECT extract(epoch from clock_timestamp())",
    "mysql": "SELECT unix_timestamp(sysdate(6))",
    "mariadb": "SELECT unix_timestamp(sysdate(6))",
}
SKEW_SECONDS = 2  # tokens and replicas count in seconds


@check("redis")
def check_redis(context):
    """Check that Redis answers, and that it keeps what it has acknowledged."""
    if not context.config["REDIS_EMBEDDED"] or health.check_redis() == "ok":
        yield from check_server(context, redis_store, "REDIS_URL")
    elif context.deploy:
        yield Error("there is none", "REDIS_URL=redis://…", "redis.E001")
    else:
        message = "the embedded one runs only during make run"
        yield Warning(message, "make run", "redis.W002")


@check("broker")
def check_broker(context):
    """Check the Redis that carries tasks, if it is another one."""
    url = context.config["BROKER_URL"]
    if url != context.config["REDIS_URL"]:
        client = redis.ClientFactory.from_url(url, **redis.FAIL_FAST_OPTIONS)
        try:
            yield from check_server(context, client, "BROKER_URL")
        finally:
            client.close()


def check_server(context, client, setting):
    """Check the Redis that a setting names; of a Cluster, one node."""
    url, name = urlsplit(context.config[setting]), context.name
    where = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
    try:
        client.ping()
        began = time.perf_counter()
        client.ping()
        ms = (time.perf_counter() - began) * 1000
        info = client.info()
    except RedisError as exception:
        message = f"{where} refuses access: {redacted_message(exception)}"
        hint = f"start it, or correct {variable_name(setting)}"
        yield Error(message, hint, f"{name}.E003")
        return
    version, label = info["redis_version"], "Redis"
    if tuple(map(int, version.split(".")[:2])) < MIN_REDIS:
        message = f"{version} is older than {version_text(MIN_REDIS)}"
        yield Error(message, "a newer Redis, or Valkey", f"{name}.E004")
    if "valkey_version" in info:
        version, label = info["valkey_version"], "Valkey"
    has_primary = url.scheme in (redis.SENTINEL_SCHEME, redis.CLUSTER_SCHEME)
    if info["role"] == "slave" and not has_primary:
        hint = f"set {variable_name(setting)} to its primary"
        yield Error(f"{where} is a replica", hint, f"{name}.E005")
    yield from check_persistence(client, info, name)
    yield Ok(f"{label} {version} at {where}, {ms:.1f} ms")


def check_persistence(client, info, name):
    """Check that a Redis does not lose what it has acknowledged."""
    try:
        saves = client.config_get("save").get("save")
    except ResponseError:  # managed services forbid the command
        saves = None
    lost, hint = "after a crash, it loses all", "appendonly yes"
    if not info["aof_enabled"] and saves == "":
        yield Error(lost, hint, f"{name}.E006")
    elif not info["aof_enabled"]:
        yield Warning(f"{lost} changes since its last save", hint, f"{name}.W007")
    policy, hint = info["maxmemory_policy"], "maxmemory-policy noeviction"
    message = f"when its memory is full, it deletes keys: {policy}"
    if policy != "noeviction" and info["maxmemory"]:
        yield Error(message, hint, f"{name}.E008")
    elif policy != "noeviction":
        yield Warning(message, hint, f"{name}.W009")
    elif 0 < info["maxmemory"] < info["used_memory"] * 1.1:
        message = "its memory is nearly full"
        yield Warning(message, "a higher maxmemory", f"{name}.W010")
    for field in ("aof_last_write_status", "rdb_last_bgsave_status"):
        if info[field] != "ok":
            message = f"it cannot save: {field} {info[field]}"
            yield Error(message, "free space on its disk", f"{name}.E011")


@check("worker", after="redis")
def check_worker(context):
    """Check that a worker runs."""
    if worker.check_worker() != "ok":
        message = "none answers, so tasks wait"
        yield context.error_on_deploy(message, start_command(context), "worker.E001")
    number = redis_store.zcount(worker.WORKERS_KEY, int(time.time()), "+inf")
    yield Ok(f"{number} at work")


@check("beat", after="redis")
def check_beat(context):
    """Check that the scheduler of periodic tasks runs."""
    if worker.check_beat() != "ok":
        message = "none runs, so periodic tasks do not run"
        yield context.error_on_deploy(message, start_command(context), "beat.E001")
    yield Ok("ticks")


def start_command(context):
    """Return how to start the worker or the scheduler."""
    unit = f"systemctl start myapp-{context.name}" if context.deploy else "make run"
    return f"{unit}, or flask {context.name}"


@check("clocks")
def check_clocks(_context):
    """Compare our clock with those of the servers; tokens expire by them."""
    apart = []
    for name, read_clock in (("the database", sql_time), ("Redis", redis_time)):
        before = time.time()
        try:
            theirs = read_clock()
        except (SQLAlchemyError, RedisError):  # which other checks report
            continue
        if theirs is None:
            continue
        ahead = theirs - (before + time.time()) / 2
        apart.append(abs(ahead))
        if abs(ahead) > SKEW_SECONDS:
            where = "ahead of" if ahead > 0 else "behind"
            message = f"{name} is {abs(ahead):.0f} s {where} us"
            hint = "timedatectl set-ntp true, here and there"
            yield Error(message, hint, "clocks.E001")
    if apart:
        yield Ok(f"at most {max(apart):.2f} s apart")


def sql_time():
    """Return the database's epoch second; None if it has no clock."""
    question = TIME_QUERIES.get(sql.engine.dialect.name)
    return question and float(query_database(question)[0])


def redis_time():
    """Return the epoch second of Redis."""
    seconds, microseconds = redis_store.time()
    return seconds + microseconds / 1e6
