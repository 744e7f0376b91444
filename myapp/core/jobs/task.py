"""Tasks: functions that a worker runs.

A message only wakes a worker: the database holds what is to be done and how far it is.
So a task may run twice, late or never, without harm.
"""

import logging
import time

from celery import Task as CeleryTask
from celery import shared_task
from celery.exceptions import Retry
from flask import g
from kombu.exceptions import OperationalError as BrokerError

from ..data.dialects import UNAVAILABLE
from ..data.session import Changed
from ..observability.metrics import job

SLOW = 300  # seconds after which a task is asked to end
STUCK = 330  # and after which it is made to
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


def named(function):
    """`users.purge` for the function `purge` in myapp/users/tasks.py.

    A task of `core` is named after its module.
    """
    *_, package, module = function.__module__.split(".")
    in_core = ".core." in function.__module__
    return f"{module if in_core else package}.{function.__name__}"
