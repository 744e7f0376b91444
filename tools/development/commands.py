"""`flask dev`, `web`, `redis` and `profile`: the development server."""

import logging
import os
import signal
import subprocess
import sys
import tempfile

import click
from flask import current_app
from flask.cli import with_appcontext
from werkzeug.serving import run_simple

from myapp.core.data.embedded_redis import redis_command
from myapp.core.processes import IS_LINUX, die_with_parent
from myapp.ops.probes import HOST, bind_error

from .supervisor import exit_zero, run_together


def init_app(app):
    """Add the commands redis, web, dev and profile."""
    for command in (redis, web, dev, profile):
        app.cli.add_command(command)


@click.command()
@with_appcontext
def redis():
    """Run the embedded Redis; its data is kept in the instance folder."""
    die_with_parent()
    folder = current_app.instance_path
    os.makedirs(folder, exist_ok=True)
    command = redis_command(folder, persistent=True)
    if IS_LINUX:
        os.execv(command[0], command)
    # Elsewhere a thread watches the parent process, which exec would end.
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
    """Run the server with a profiler, which prints the time of each function."""
    from werkzeug.middleware.profiler import ProfilerMiddleware  # only needed here

    app = current_app._get_current_object()
    serve(ProfilerMiddleware(app, sort_by=("cumulative",), restrictions=(40,)))


def serve(app, **options):
    """Serve a WSGI application on PORT; `options`: those of run_simple."""
    die_with_parent()
    port = current_app.config["PORT"]
    require_free(port)
    # The application logs requests, and `flask dev` prints the address.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    run_simple(HOST, port, app, **options)


def require_free(port):
    """Raise ClickException if this process cannot listen on a port of this machine."""
    if error := bind_error(port):
        raise click.ClickException(
            f"Cannot listen on port {port} ({error}). "
            "Choose another one, for example: PORT=5001 make run."
        )


@click.command()
@with_appcontext
def dev():
    """Start all processes of Procfile.dev, and stop them together.

    Processes that run the code of the project restart when it changes.
    """
    die_with_parent()
    require_free(current_app.config["PORT"])
    click.get_current_context().invoke(current_app.cli.commands["init-db"])
    with tempfile.TemporaryDirectory(prefix="myapp-metrics-") as counts:
        # The processes share this folder.
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", counts)
        run_together()
