"""The Celery application of a Flask application."""

import ssl

from celery import Celery
from celery.schedules import schedule
from flask import current_app, g
from kombu.exceptions import OperationalError as BrokerError

from ..data.redis import broker
from ..errors import RETRY, Problem
from .schedule import SCHEDULE
from .task import Task, log
from .worker import Pulse, beat, worker

FORGOTTEN = 900  # and after which its message goes to another worker
TLS = {"ssl_cert_reqs": ssl.CERT_REQUIRED}


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
