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
from .task import P, R_co, TaskFunction, task, task_name

SCHEDULER_KEY = "clock"  # the key that exists in Redis while the scheduler runs
# seconds without a tick until the scheduler counts as stopped
SCHEDULER_TTL_SECONDS = 30
SCHEDULE: dict[str, timedelta] = {}  # the period of each periodic task


def periodic_task(
    **period: float,
) -> Callable[[Callable[P, R_co]], TaskFunction[P, R_co]]:
    """Make a function a task that the scheduler enqueues once per period.

    `period`: as for timedelta, for example `minutes=1`. A run may be late, be missed or
    overlap with another one, so each run must catch up with the work of those before.
    """

    def decorator(function: Callable[P, R_co]) -> TaskFunction[P, R_co]:
        SCHEDULE[task_name(function)] = timedelta(**period)
        return task(function)

    return decorator


def periodic_tasks() -> dict[str, Any]:
    """Return the periodic tasks by name."""
    tasks = current_app.extensions["celery"].tasks
    return {name: tasks[name] for name in SCHEDULE}


class HeartbeatScheduler(clock.Scheduler):
    """Celery's scheduler, with the schedule in memory and a liveness signal in Redis."""

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        notify_systemd()
        with suppress(RedisError):
            redis_store.set(SCHEDULER_KEY, 1, ex=SCHEDULER_TTL_SECONDS)
        return super().tick(*args, **kwargs)


def notify_systemd() -> None:
    """Notify systemd, if it started this process, that we are ready and alive."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with suppress(OSError), socket(AF_UNIX, SOCK_DGRAM) as systemd:
            systemd.connect(address.replace("@", "\0", 1))
            systemd.send(b"READY=1\nWATCHDOG=1")
