"""Periodic tasks, and the scheduler that enqueues them."""

import os
from contextlib import suppress
from datetime import timedelta
from socket import AF_UNIX, SOCK_DGRAM, socket

from celery import beat as clock
from flask import current_app
from redis.exceptions import RedisError

from ..data.redis import redis_store
from .task import named, task

CLOCK = "clock"  # in Redis while the clock ticks, which it does for the shortest period
STOPPED = 30  # seconds without a tick until the clock counts as gone


def every(**period):
    """Make it one that the clock asks for once in this period, as `minutes=1`.

    It may run twice at once, late or never; the next one makes up for it.
    """

    def decorator(function):
        SCHEDULE[named(function)] = timedelta(**period)
        return task(function)

    return decorator


SCHEDULE = {}  # the period of each task that the clock asks for


def sweeps():
    """The tasks that the clock asks for, by name."""
    tasks = current_app.extensions["celery"].tasks
    return {name: tasks[name] for name in SCHEDULE}


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
