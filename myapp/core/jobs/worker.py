"""`flask worker` and `flask beat`, and their liveness signals."""

import logging
import os
import signal
import time
from functools import partial
from socket import gethostname
from typing import Any

import click
from celery import bootsteps
from celery.signals import setup_logging, task_unknown, worker_process_init
from flask import current_app
from flask.cli import with_appcontext
from redis.exceptions import RedisError

from ..data.redis import redis_store
from ..processes import die_with_parent
from .schedule import SCHEDULER_KEY, HeartbeatScheduler, notify_systemd
from .task import log

HEARTBEAT_SECONDS = 2  # seconds between two liveness signals of a worker
WORKER_TTL_SECONDS = 10  # seconds without one until a worker counts as gone
WORKERS_KEY = "workers"  # sorted set in Redis: each worker, and when it counts as gone


def check_worker() -> str:
    """Return `ok` if a worker runs, else the reason."""
    try:
        alive = redis_store.zcount(WORKERS_KEY, int(time.time()), "+inf")
    except RedisError:
        return "unknown: Redis does not answer"
    return "ok" if alive else "does not answer"


def check_beat() -> str:
    """Return `ok` if the scheduler runs, else the reason."""
    try:
        ticks = redis_store.exists(SCHEDULER_KEY)
    except RedisError:
        return "unknown: Redis does not answer"
    return "ok" if ticks else "is not running"


class HeartbeatStep(bootsteps.StartStopStep):
    """The liveness signal of a worker, sent from the loop that receives messages."""

    requires = {"celery.worker.components:Timer"}

    def __init__(self, worker: Any, **_: Any) -> None:
        self.flask = worker.app.flask
        self.name = f"{gethostname()}:{os.getpid()}"

    def start(self, worker: Any) -> None:
        self.send_heartbeat()
        self.timer = worker.timer.call_repeatedly(
            HEARTBEAT_SECONDS, self.send_heartbeat
        )

    def stop(self, worker: Any) -> None:
        self.timer.cancel()
        self.update("zrem", self.name)

    def send_heartbeat(self) -> None:
        notify_systemd()
        self.update("zremrangebyscore", "-inf", int(time.time()))
        self.update("zadd", {self.name: int(time.time()) + WORKER_TTL_SECONDS})

    def update(self, command: str, *arguments: Any) -> None:
        try:
            with self.flask.app_context():
                getattr(redis_store, command)(WORKERS_KEY, *arguments)
        except RedisError:
            log.error("Redis does not answer.")


@setup_logging.connect
def use_our_log_handlers(**_: Any) -> None:
    """Log Celery's warnings in our format, and leave the log line of a task to Task."""
    celery = logging.getLogger("celery")
    celery.handlers[:] = logging.getLogger("myapp").handlers
    celery.setLevel(logging.WARNING)
    celery.propagate = False
    logging.getLogger("celery.app.trace").setLevel(logging.CRITICAL)


@task_unknown.connect
def log_unknown_task(name: str, **_: Any) -> None:
    """Log that a task was dropped, because its feature has been removed."""
    log.warning("Dropped the task %s, which this release does not have.", name)


def init_pool_process(worker: int, **_: Any) -> None:
    """Initialize a process of the pool: drop inherited connections, end with the worker.

    `worker`: the process id of the worker, which may have ended already.
    """
    # After SIGTERM, a process would wait half a minute for its worker to confirm a task.
    die_with_parent(worker, signal.SIGKILL)
    for engine in current_app.extensions["statements"].engines():
        engine.dispose(close=False)


PASS_THROUGH = {"ignore_unknown_options": True, "allow_extra_args": True}


@click.command(context_settings=PASS_THROUGH)
@click.pass_context
@with_appcontext
def worker(context: click.Context) -> None:
    """Run background tasks, with one process per core.

    Options of Celery are passed on, such as --concurrency 4.
    """
    from celery.worker.consumer import consumer  # only needed here

    # For an unknown task, Celery would log the whole message and a traceback.
    consumer.logger.addFilter(lambda line: line.msg != consumer.UNKNOWN_TASK_ERROR)
    run_celery(context, "worker", "--without-gossip", "--without-mingle")


@click.command(context_settings=PASS_THROUGH)
@click.pass_context
@with_appcontext
def beat(context: click.Context) -> None:
    """Enqueue periodic tasks; it is safe to run two schedulers."""
    run_celery(
        context,
        "beat",
        "--scheduler",
        f"{HeartbeatScheduler.__module__}:HeartbeatScheduler",
    )


def run_celery(context: click.Context, *command: str) -> None:
    """Run a command of Celery in this process."""
    die_with_parent()
    init_process = partial(init_pool_process, os.getpid())
    worker_process_init.connect(init_process, weak=False)
    current_app.extensions["celery"].start(["--quiet", *command, *context.args])
