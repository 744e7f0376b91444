"""Background work: Celery over Redis, and the clock that sets it going.

A slice's tasks stand in its `tasks.py`:

    @task                 what a request leaves to a worker: `send(function, *arguments)`
    @every(minutes=1)     what the clock asks for, again and again

A message is a word to wake somebody up, no more: what is to be done, and how far it is,
stands in the database. So a task may run twice, late, or be lost, without harm.
"""

import logging
import os
import signal
import ssl
import time
from contextlib import suppress
from datetime import timedelta
from functools import partial
from socket import AF_UNIX, SOCK_DGRAM, gethostname, socket

import click
from celery import Celery, beat as clock, bootsteps, shared_task
from celery import Task as CeleryTask
from celery.exceptions import Retry
from celery.schedules import schedule
from celery.signals import setup_logging, worker_process_init
from flask import current_app, g
from flask.cli import with_appcontext
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from .db import Changed, redis_store
from .metrics import job
from .problems import RETRY, UNAVAILABLE, Problem
from .processes import die_with_parent
from .redis_client import broker

SLOW = 300  # seconds after which a task is asked to end
STUCK = 330  # and after which it is made to
FORGOTTEN = 900  # and after which its message goes to another worker
PULSE = 2  # seconds between two signs of life of a worker
SILENCE = 10  # seconds without one until a worker counts as gone
TLS = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
WORKERS = "workers"  # in Redis: the workers, by the second until which they count
CLOCK = "clock"  # in Redis while the clock ticks, which it does for the shortest period
STOPPED = 30  # seconds without a tick until the clock counts as gone
log = logging.getLogger("myapp.tasks")


class Task(CeleryTask):
    """A task runs in an application context, leaves one line in the log, and is counted.

    What it returns, as "12 sessions", is for that line; where there was nothing to do
    it returns None, and there is no line.
    """

    acks_late = True  # a worker that dies has not done it
    reject_on_worker_lost = True
    ignore_result = True
    autoretry_for = (*UNAVAILABLE, Changed, BrokerError)
    max_retries = 5
    retry_backoff = True  # 1, 2, 4, … seconds, at random less of it
    retry_jitter = True
    soft_time_limit = SLOW
    time_limit = STUCK

    def __call__(self, *args, **kwargs):
        began, outcome, unexpected = time.perf_counter(), None, None
        with self.app.flask.app_context():
            g.task_id = self.request.id
            g.request_id = self.request.get("request_id")
            try:
                with job(self.name):
                    outcome = self.run(*args, **kwargs)
            except Retry:
                outcome = "is tried again"
                raise
            except Exception as error:
                outcome, unexpected = "failed", error
                raise
            finally:
                ms = round((time.perf_counter() - began) * 1000, 1)
                facts = {"task": self.name, "outcome": outcome, "ms": ms}
                if outcome:
                    more = {"exc_info": unexpected, "extra": {"facts": facts}}
                    log.info("%(task)s: %(outcome)s", facts, **more)


def task(function):
    """Make a function of a slice's `tasks.py` a task, named as the slice and itself."""
    return shared_task(name=named(function))(function)


def every(**period):
    """Make it one that the clock asks for once in this period, as `minutes=1`.

    It may run twice at once, late or never; the next one makes up for it.
    """

    def decorator(function):
        SCHEDULE[named(function)] = timedelta(**period)
        return task(function)

    return decorator


SCHEDULE = {}  # the period of each task that the clock asks for


def named(function):
    """`users.purge` for the function `purge` in myapp/users/tasks.py."""
    return f"{function.__module__.split('.')[1]}.{function.__name__}"


def init_app(app):
    """Give `app` its Celery: the same settings, JSON alone, and nothing connected yet."""
    url, options = broker(app.config["BROKER_URL"])
    celery = Celery("myapp", task_cls=Task)
    celery.flask = app
    celery.conf.update(
        broker_url=url,
        broker_transport_options=options | {"visibility_timeout": FORGOTTEN},
        broker_use_ssl=TLS if url.startswith("rediss:") else None,
        broker_connection_retry_on_startup=True,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        accept_content=["json"],
        task_publish_retry=False,  # a request does not wait: it says 503
        worker_prefetch_multiplier=1,  # what one worker cannot begin yet, another may
        # A sweep that nobody came to in time is dropped: the next one is there already.
        beat_schedule={
            name: {
                "task": name,
                "schedule": schedule(period),
                "options": {"expires": period.total_seconds()},
            }
            for name, period in SCHEDULE.items()
        },
    )
    celery.steps["worker"].add(Pulse)
    app.extensions["celery"] = celery
    for command in (worker, beat):
        app.cli.add_command(command)


def send(function, *arguments):
    """Have a worker run this task; its log lines carry this request's id.

    Raises 503 where the broker is down. A task that is sent within a unit of work may
    come to run before that is committed.
    """
    celery = current_app.extensions["celery"]
    try:
        celery.tasks[function.name].apply_async(
            arguments, headers={"request_id": g.get("request_id")}
        )
    except BrokerError:
        log.error("The broker does not answer.")
        raise Problem(503, headers=RETRY) from None


def sweeps():
    """The tasks that the clock asks for, by name."""
    tasks = current_app.extensions["celery"].tasks
    return {name: tasks[name] for name in SCHEDULE}


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


class Clock(clock.Scheduler):
    """Celery's, with its schedule in memory."""

    def tick(self, *args, **kwargs):
        tell_systemd()
        with suppress(RedisError):
            redis_store.set(CLOCK, 1, ex=STOPPED)
        return super().tick(*args, **kwargs)


def tell_systemd():
    """Say that we have started, and live; without systemd there is nobody to hear it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with suppress(OSError), socket(AF_UNIX, SOCK_DGRAM) as systemd:
            systemd.connect(address.replace("@", "\0", 1))
            systemd.send(b"READY=1\nWATCHDOG=1")


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
    run(context, "beat", "--scheduler", f"{__name__}:Clock")


def run(context, *command):
    """Be this command of Celery's."""
    die_with_parent()
    pool_begins = partial(begin_alone, os.getpid())
    worker_process_init.connect(pool_begins, weak=False)
    current_app.extensions["celery"].start(["--quiet", *command, *context.args])
