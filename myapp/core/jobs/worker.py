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
from celery.signals import setup_logging, worker_process_init
from flask import current_app
from flask.cli import with_appcontext
from redis.exceptions import RedisError

from ..data.redis import redis_store
from ..processes import die_with_parent
from .schedule import CLOCK, Clock, tell_systemd
from .task import log

PULSE = 2  # seconds between two liveness signals of a worker
SILENCE = 10  # seconds without one until a worker counts as gone
WORKERS = "workers"  # sorted set in Redis: each worker, and when it counts as gone


def check_worker() -> str:
    """Return `ok` if a worker runs, else the reason."""
    try:
        alive = redis_store.zcount(WORKERS, int(time.time()), "+inf")
    except RedisError:
        return "unknown: Redis does not answer"
    return "ok" if alive else "does not answer"


def check_beat() -> str:
    """Return `ok` if the scheduler runs, else the reason."""
    try:
        ticks = redis_store.exists(CLOCK)
    except RedisError:
        return "unknown: Redis does not answer"
    return "ok" if ticks else "is not running"


class Pulse(bootsteps.StartStopStep):
    """The liveness signal of a worker, sent from the loop that receives messages."""

    requires = {"celery.worker.components:Timer"}

    def __init__(self, worker: Any, **_: Any) -> None:
        self.flask = worker.app.flask
        self.name = f"{gethostname()}:{os.getpid()}"

    def start(self, worker: Any) -> None:
        self.beat()
        self.timer = worker.timer.call_repeatedly(PULSE, self.beat)

    def stop(self, worker: Any) -> None:
        self.timer.cancel()
        self.update("zrem", self.name)

    def beat(self) -> None:
        tell_systemd()
        self.update("zremrangebyscore", "-inf", int(time.time()))
        self.update("zadd", {self.name: int(time.time()) + SILENCE})

    def update(self, command: str, *arguments: Any) -> None:
        try:
            with self.flask.app_context():
                getattr(redis_store, command)(WORKERS, *arguments)
        except RedisError:
            log.error("Redis does not answer.")


@setup_logging.connect
def keep_our_lines(**_: Any) -> None:
    """Log Celery's warnings in our format, and leave the log line of a task to Task."""
    celery = logging.getLogger("celery")
    celery.handlers[:] = logging.getLogger("myapp").handlers
    celery.setLevel(logging.WARNING)
    celery.propagate = False
    logging.getLogger("celery.app.trace").setLevel(logging.CRITICAL)


def begin_alone(worker: int, **_: Any) -> None:
    """Initialize a process of the pool: drop inherited connections, end with the worker.

    `worker`: the process id of the worker, which may have ended already.
    """
    # After SIGTERM, a process would wait half a minute for its worker to confirm a task.
    die_with_parent(worker, signal.SIGKILL)
    for engine in current_app.extensions["statements"].engines():
        engine.dispose(close=False)


PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True}


@click.command(context_settings=PASSED_ON)
@click.pass_context
@with_appcontext
def worker(context: click.Context) -> None:
    """Run background tasks, with one process per core.

    Options of Celery are passed on, such as --concurrency 4.
    """
    run(context, "worker", "--without-gossip", "--without-mingle")


@click.command(context_settings=PASSED_ON)
@click.pass_context
@with_appcontext
def beat(context: click.Context) -> None:
    """Enqueue periodic tasks; it is safe to run two schedulers."""
    run(context, "beat", "--scheduler", f"{Clock.__module__}:Clock")


def run(context: click.Context, *command: str) -> None:
    """Run a command of Celery in this process."""
    die_with_parent()
    pool_begins = partial(begin_alone, os.getpid())
    worker_process_init.connect(pool_begins, weak=False)
    current_app.extensions["celery"].start(["--quiet", *command, *context.args])
