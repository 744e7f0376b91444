"""The Celery application of a Flask application."""

import ssl

from celery import Celery
from celery.schedules import schedule
from flask import Flask, current_app, g
from kombu.exceptions import OperationalError as BrokerError

from ..data.redis import broker_options
from ..errors import RETRY_HEADERS, Problem
from .schedule import SCHEDULE
from .task import P, Task, TaskFunction, log
from .worker import HeartbeatStep, beat, worker

# seconds after which an unfinished task goes to another worker
VISIBILITY_TIMEOUT_SECONDS = 900
TLS_OPTIONS = {"ssl_cert_reqs": ssl.CERT_REQUIRED}


def init_app(app: Flask) -> None:
    """Create the Celery application of `app`; it connects on first use."""
    url, options = broker_options(app.config["BROKER_URL"])
    celery = Celery("myapp", task_cls=Task)
    celery.flask = app
    celery.conf.update(
        broker_url=url,
        broker_transport_options=options
        | {"visibility_timeout": VISIBILITY_TIMEOUT_SECONDS},
        broker_use_ssl=TLS_OPTIONS if url.startswith("rediss:") else None,
        broker_connection_retry_on_startup=True,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        accept_content=["json"],
        task_publish_retry=False,  # a request does not wait, but fails with 503
        worker_prefetch_multiplier=1,  # leave waiting tasks to other workers
        # A periodic task that has waited for a whole period is dropped for the next one.
        beat_schedule={
            name: {
                "task": name,
                "schedule": schedule(period),
                "options": {"expires": period.total_seconds()},
            }
            for name, period in SCHEDULE.items()
        },
    )
    celery.steps["worker"].add(HeartbeatStep)
    app.extensions["celery"] = celery
    for command in (worker, beat):
        app.cli.add_command(command)


def enqueue(
    function: TaskFunction[P, object], *arguments: P.args, **keywords: P.kwargs
) -> None:
    """Have a worker run a task; its log lines carry the id of this request.

    Raises 503 if the broker is unavailable. Within a unit of work, the task may start
    before the commit.
    """
    celery = current_app.extensions["celery"]
    try:
        celery.tasks[function.name].apply_async(
            arguments, keywords, headers={"request_id": g.get("request_id")}
        )
    except BrokerError:
        log.error("The broker does not answer.")
        raise Problem(503, headers=RETRY_HEADERS) from None
