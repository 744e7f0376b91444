"""`flask up`, `web`, `redis` and `profile`: the development server."""

import logging
import os
import signal
import subprocess
import sys
import tempfile

import click
from flask import current_app
from flask.cli import with_appcontext
from werkzeug.serving import WSGIRequestHandler, run_simple

from myapp.core.data.embedded_redis import redis_command
from myapp.core.processes import IS_LINUX, die_with_parent
from myapp.ops.probes import HOST, bind_error

from .supervisor import children, exit_zero, run_together


def init_app(app):
    """Give `flask` the commands redis, web, up and profile."""
    for command in (redis, web, up, profile):
        app.cli.add_command(command)


@click.command()
@with_appcontext
def redis():
    """Run the embedded Redis; what it knows stays in the instance folder."""
    die_with_parent()
    folder = current_app.instance_path
    os.makedirs(folder, exist_ok=True)
    command = redis_command(folder, persistent=True)
    if IS_LINUX:
        os.execv(command[0], command)
    # Elsewhere we stay and watch: exec would end the thread that does.
    signal.signal(signal.SIGTERM, exit_zero)
    sys.exit(subprocess.call(command))


@click.command()
@with_appcontext
def web():
    """Run the development server."""
    serve(current_app._get_current_object(), threaded=True)


@click.command()
@with_appcontext
def profile():
    """Serve under a profiler: it prints where the time of each request went."""
    from werkzeug.middleware.profiler import ProfilerMiddleware  # nobody else needs it

    app = current_app._get_current_object()
    serve(ProfilerMiddleware(app, sort_by=("cumulative",), restrictions=(40,)))


def serve(app, **options):
    """Serve a WSGI application on PORT; `options` are run_simple's."""
    die_with_parent()
    port = current_app.config["PORT"]
    require_free(port)
    # Only `flask up` says where we are.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    run_simple(HOST, port, app, request_handler=QuietRequestHandler, **options)


class QuietRequestHandler(WSGIRequestHandler):
    """Logs no request: the application does."""

    def log_request(self, *_):
        pass


def require_free(port):
    """Raise ClickException if nobody can listen on `port` of this machine now."""
    if error := bind_error(port):
        raise click.ClickException(
            f"Cannot listen on port {port} ({error}). "
            f"Choose another, as in: PORT=5001 make run"
        )


@click.command()
@with_appcontext
def up():
    """Start everything that Procfile.dev names, and end it together.

    What runs our code starts anew when that changes.
    """
    die_with_parent()
    require_free(current_app.config["PORT"])
    click.get_current_context().invoke(current_app.cli.commands["init-db"])
    with tempfile.TemporaryDirectory(prefix="myapp-metrics-") as counts:
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", counts)  # they count together
        run_together(list(children()))
