"""`flask worker` and `flask beat`, and their signs of life."""

import logging
import os
import signal
import time
from functools import partial
from socket import gethostname

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

PULSE = 2  # seconds between two signs of life of a worker
SILENCE = 10  # seconds without one until a worker counts as gone
WORKERS = "workers"  # in Redis: the workers, by the second until which they count


def check_worker():
    """`ok`, or that there is no worker."""
    try:
        alive = redis_store.zcount(WORKERS, int(time.time()), "+inf")
    except RedisError:
        return "unknown: Redis does not answer"
    return "ok" if alive else "does not answer"


def check_beat():
    """`ok`, or that there is no clock."""
    try:
        ticks = redis_store.exists(CLOCK)
    except RedisError:
        return "unknown: Redis does not answer"
    return "ok" if ticks else "does not tick"


class Pulse(bootsteps.StartStopStep):
    """A worker's sign of life, for `check_worker`, from the loop that takes messages."""

    requires = {"celery.worker.components:Timer"}

    def __init__(self, worker, **_):
        self.flask = worker.app.flask
        self.name = f"{gethostname()}:{os.getpid()}"

    def start(self, worker):
        self.beat()
        self.timer = worker.timer.call_repeatedly(PULSE, self.beat)

    def stop(self, worker):
        self.timer.cancel()
        self.told("zrem", self.name)

    def beat(self):
        tell_systemd()
        self.told("zremrangebyscore", "-inf", int(time.time()))
        self.told("zadd", {self.name: int(time.time()) + SILENCE})

    def told(self, command, *arguments):
        try:
            with self.flask.app_context():
                getattr(redis_store, command)(WORKERS, *arguments)
        except RedisError:
            log.error("Redis does not answer.")


@setup_logging.connect
def keep_our_lines(**_):
    """Celery says what it has to say in our form, and nothing of each task."""
    celery = logging.getLogger("celery")
    celery.handlers[:] = logging.getLogger("myapp").handlers
    celery.setLevel(logging.WARNING)
    celery.propagate = False
    logging.getLogger("celery.app.trace").setLevel(logging.CRITICAL)  # Task tells it


def begin_alone(worker, **_):
    """A process of the pool shares no connection with its worker, nor outlives it.

    `worker`: its process id, which may be gone already. SIGTERM would not do: a process
    that has done a task waits half a minute for its worker to take note.
    """
    die_with_parent(worker, signal.SIGKILL)
    for engine in current_app.extensions["statements"].engines():
        engine.dispose(close=False)


PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True}


@click.command(context_settings=PASSED_ON)
@click.pass_context
@with_appcontext
def worker(context):
    """Run the tasks that wait, in a process for each core.

    Celery's own options go through, as --concurrency 4.
    """
    run(context, "worker", "--without-gossip", "--without-mingle")


@click.command(context_settings=PASSED_ON)
@click.pass_context
@with_appcontext
def beat(context):
    """Be the clock that asks for what is due; two of them do no harm."""
    run(context, "beat", "--scheduler", f"{Clock.__module__}:Clock")


def run(context, *command):
    """Be this command of Celery's."""
    die_with_parent()
    pool_begins = partial(begin_alone, os.getpid())
    worker_process_init.connect(pool_begins, weak=False)
    current_app.extensions["celery"].start(["--quiet", *command, *context.args])
