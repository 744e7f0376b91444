"""Tasks: functions that a worker runs.

A message only wakes a worker: the database stores the work and its progress. So a task may
run twice, late or not at all, without harm.
"""

import logging
import time
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from celery import Task as CeleryTask
from celery import shared_task
from celery.exceptions import Retry
from flask import g
from kombu.exceptions import OperationalError as BrokerError

from ..data.dialects import UNAVAILABLE_ERRORS
from ..data.session import RetryTransaction
from ..observability.metrics import count_job

# seconds: the soft time limit, which raises SoftTimeLimitExceeded
SOFT_TIME_LIMIT_SECONDS = 300
TIME_LIMIT_SECONDS = 330  # seconds: the hard time limit, which kills the process
log = logging.getLogger("myapp.tasks")

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class TaskFunction(Protocol[P, R_co]):
    """A function that is a task; calling it runs it in this process."""

    name: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class Task(CeleryTask):
    """Runs a function in an application context, logs one line and counts it.

    The line contains the return value of the function, such as "12 sessions". If it is
    None, there was nothing to do, and nothing is logged.
    """

    acks_late = True  # so that a task runs again if its worker dies
    reject_on_worker_lost = True
    ignore_result = True
    autoretry_for = (*UNAVAILABLE_ERRORS, RetryTransaction, BrokerError)
    max_retries = 5
    retry_backoff = True  # 1, 2, 4, … seconds
    retry_jitter = True  # a random part of it
    soft_time_limit = SOFT_TIME_LIMIT_SECONDS
    time_limit = TIME_LIMIT_SECONDS

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        outcome: str | None = None
        unexpected: Exception | None = None
        with self.app.flask.app_context():
            g.task_id = self.request.id
            g.request_id = self.request.get("request_id")
            try:
                with count_job(self.name):
                    outcome = self.run(*args, **kwargs)
            except Retry:
                outcome = "will be retried"
                raise
            except Exception as error:
                outcome, unexpected = "failed", error
                raise
            finally:
                ms = round((time.perf_counter() - began) * 1000, 1)
                fields = {"task": self.name, "outcome": outcome, "ms": ms}
                if outcome:
                    log.info(
                        "%(task)s: %(outcome)s",
                        fields,
                        exc_info=unexpected,
                        extra={"fields": fields},
                    )


def task(function: Callable[P, R_co]) -> TaskFunction[P, R_co]:
    """Make a function of a feature's `tasks.py` a task, named `<feature>.<function>`."""
    return shared_task(name=task_name(function))(function)


def task_name(function: Callable[..., Any]) -> str:
    """Return the name of a task: `users.purge` for `purge` of the feature `users`.

    The first part is the feature, or for a task of `core` its module.
    """
    *_, package, module = function.__module__.split(".")
    in_core = ".core." in function.__module__
    return f"{module if in_core else package}.{function.__name__}"
