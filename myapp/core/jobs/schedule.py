"""Periodic tasks, and the scheduler that enqueues them."""

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from socket import AF_UNIX, SOCK_DGRAM, socket
from typing import Any

from celery import beat as clock
from flask import current_app
from redis.exceptions import RedisError

from ..data.redis import redis_store
from .task import P, R_co, TaskFunction, named, task

CLOCK = "clock"  # the key that exists in Redis while the scheduler runs
STOPPED = 30  # seconds without a tick until the scheduler counts as stopped
SCHEDULE: dict[str, timedelta] = {}  # the period of each periodic task


def every(**period: float) -> Callable[[Callable[P, R_co]], TaskFunction[P, R_co]]:
    """Make a function a task that the scheduler enqueues once per period.

    `period`: as for timedelta, for example `minutes=1`. A run may be late, be missed or
    overlap with another one, so each run must catch up with the work of those before.
    """

    def decorator(function: Callable[P, R_co]) -> TaskFunction[P, R_co]:
        SCHEDULE[named(function)] = timedelta(**period)
        return task(function)

    return decorator


def sweeps() -> dict[str, Any]:
    """Return the periodic tasks by name."""
    tasks = current_app.extensions["celery"].tasks
    return {name: tasks[name] for name in SCHEDULE}


class Clock(clock.Scheduler):
    """Celery's scheduler, with the schedule in memory and a liveness signal in Redis."""

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        tell_systemd()
        with suppress(RedisError):
            redis_store.set(CLOCK, 1, ex=STOPPED)
        return super().tick(*args, **kwargs)


def tell_systemd() -> None:
    """Notify systemd, if it started this process, that we are ready and alive."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with suppress(OSError), socket(AF_UNIX, SOCK_DGRAM) as systemd:
            systemd.connect(address.replace("@", "\0", 1))
            systemd.send(b"READY=1\nWATCHDOG=1")
