"""Checks of Redis, the workers and the clocks."""

import time
from urllib.parse import urlsplit

from flask import current_app
from redis.exceptions import RedisError, ResponseError
from sqlalchemy.exc import SQLAlchemyError

from ....core.data.redis import CLUSTER, QUICK, SENTINEL, Client, redis_store
from ....core.data.session import sql
from ....core.jobs.worker import WORKERS, check_beat, check_worker
from ....core.observability.health import check_redis
from ....core.settings import variable
from ..report import advice, wrong
from .common import LABELS, OLDEST, asked, dotted, graver, in_production, quoted

NOW = {
    "PostgreSQL": "SELECT extract(epoch from clock_timestamp())",
    "MariaDB": "SELECT unix_timestamp(sysdate(6))",
}
SKEW = 2  # seconds that two clocks may be apart; tokens and replicas count in seconds


# Redis, and who works over it
def redis(config):
    if config["REDIS_EMBEDDED"] and check_redis() != "ok":
        if in_production(config):
            yield wrong("there is none", "REDIS_URL=redis://…")
        else:
            told = "the embedded one runs only as long as make run does"
            yield advice(told, "make run")
        return
    return (yield from one_redis(redis_store, "REDIS_URL"))


def broker(config):
    """The Redis that carries tasks, where it is another one."""
    if config["BROKER_URL"] == config["REDIS_URL"]:
        return
    client = Client.from_url(config["BROKER_URL"], **QUICK)
    try:
        return (yield from one_redis(client, "BROKER_URL"))
    finally:
        client.close()


def one_redis(client, setting):
    """What there is to say of the one that this setting names; of a Cluster, one node's."""
    url = current_app.config[setting]
    split = urlsplit(url)
    where = f"{split.scheme}://{split.netloc.rpartition('@')[2]}{split.path}"
    try:
        client.ping()
        began = time.perf_counter()
        client.ping()
        ms = (time.perf_counter() - began) * 1000
        info = client.info()
    except RedisError as error:
        mend = f"start it, or set {variable(setting)} right"
        yield wrong(f"{where} does not let us in: {quoted(error)}", mend)
        return
    version, label = info["redis_version"], "Redis"
    if tuple(map(int, version.split(".")[:2])) < OLDEST["Redis"]:
        told = f"{version} is older than {dotted(OLDEST['Redis'])}"
        yield wrong(told, "a newer Redis, or Valkey")
    if "valkey_version" in info:
        version, label = info["valkey_version"], "Valkey"
    if info["role"] == "slave" and split.scheme not in (SENTINEL, CLUSTER):
        yield wrong(
            f"{where} only repeats another one",
            f"{variable(setting)}: that one's address",
        )
    yield from forgetting(client, info)
    return f"{label} {version} at {where}, {ms:.1f} ms"


def forgetting(client, info):
    """Why it may lose what it has acknowledged."""
    try:
        saves = client.config_get("save").get("save")
    except ResponseError:  # where others run it for us, it may not be asked
        saves = None
    if not info["aof_enabled"]:
        level = wrong if saves == "" else advice
        lost = "all" if saves == "" else "what has changed since it last saved"
        yield level(f"when it ends badly, it forgets {lost}", "appendonly yes")
    if (policy := info["maxmemory_policy"]) != "noeviction":
        level = wrong if info["maxmemory"] else advice
        told = f"when its memory is full, it forgets: {policy}"
        yield level(told, "maxmemory-policy noeviction")
    elif 0 < info["maxmemory"] < info["used_memory"] * 1.1:
        yield advice("its memory is nearly full", "a higher maxmemory")
    for name in ("aof_last_write_status", "rdb_last_bgsave_status"):
        if info[name] != "ok":
            yield wrong(f"it cannot save: {name} {info[name]}", "make room on its disk")


def worker(config):
    if check_worker() != "ok":
        yield graver(config)("none answers, so tasks wait", starts(config, "worker"))
    return f"{redis_store.zcount(WORKERS, int(time.time()), '+inf')} at work"


def beat(config):
    if check_beat() != "ok":
        told = "none ticks, so nothing that is due is done"
        yield graver(config)(told, starts(config, "beat"))
    return "ticks"


def starts(config, command):
    """How that command comes to run."""
    if in_production(config):
        return f"systemctl start myapp-{command}, or flask {command}"
    return f"make run, or flask {command}"


def clocks(_config):
    """Ours, against those of the servers, by which tokens end."""
    apart = []
    for name, ask in (("the database", sql_time), ("Redis", redis_time)):
        before = time.time()
        theirs = ask()
        if theirs is None:
            continue
        ahead = theirs - (before + time.time()) / 2
        apart.append(abs(ahead))
        if abs(ahead) > SKEW:
            where = "ahead of" if ahead > 0 else "behind"
            told = f"{name} is {abs(ahead):.0f} s {where} us"
            yield wrong(told, "timedatectl set-ntp true, here and there")
    return apart and f"at most {max(apart):.2f} s apart"


def sql_time():
    """The database's epoch second; None where it has no clock of its own, or is away."""
    question = NOW.get(LABELS[sql.engine.dialect.name])
    try:
        return question and float(asked(question)[0])
    except SQLAlchemyError:
        return None


def redis_time():
    """Redis's epoch second; None where it is away."""
    try:
        seconds, microseconds = redis_store.time()
    except RedisError:
        return None
    return seconds + microseconds / 1e6
