"""Start the processes of Procfile.dev, restart them on changes, stop them together."""

import os
import selectors
import shlex
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT

import click
from flask import current_app

from myapp.core.data.embedded_redis import START_TIMEOUT_SECONDS, redis_command
from myapp.core.processes import spawn
from myapp.ops.probes import HOST, readiness
from myapp.users.commands import demo_accounts

from ..repository import ROOT

COLOURS = ("magenta", "cyan", "yellow", "green", "blue")
# Reads the output of all processes without a thread, since this process forks.
SELECTOR = selectors.DefaultSelector()


@dataclass
class ManagedProcess:
    """A process of Procfile.dev."""

    name: str
    label: str
    command: list[str]
    is_restarted: bool = False

    def start(self):
        """Start the process."""
        pipes = {"stdin": DEVNULL, "stdout": PIPE, "stderr": STDOUT}
        self.process = spawn(self.command, cwd=ROOT, **pipes)
        self.output, self.pending = self.process.stdout, b""
        self.is_reported = False
        SELECTOR.register(self.output, selectors.EVENT_READ, self)

    def check_running(self):
        """Raise ClickException if the process has ended, unless it was restarted.

        After a change, the code may be incomplete for a while.
        """
        code = self.process.poll()
        if code is not None and not self.is_restarted:
            raise click.ClickException(f"{self.name} ended with code {code}.")
        if code is not None and self.output.closed and not self.is_reported:
            self.is_reported = True
            notice = "does not start; it will be restarted when the code changes."
            click.echo(self.label + notice)

    def print_output(self):
        """Print the lines that the process has written; at the end, also half a line."""
        piece = os.read(self.output.fileno(), 65536)
        if not piece:
            SELECTOR.unregister(self.output)
            self.output.close()
            piece = b"\n" if self.pending else b""
        *lines, self.pending = (self.pending + piece).split(b"\n")
        for line in lines:
            click.echo(self.label + line.decode(errors="replace"))


def run_together():
    """Run all processes until one of them ends, or a signal stops this one."""
    path = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = os.pathsep.join((os.path.dirname(sys.executable), path))
    os.environ["PYTHONUNBUFFERED"] = "1"
    redis, others = create_processes()
    for child in redis + others:
        child.start()
    signal.signal(signal.SIGINT, exit_zero)
    signal.signal(signal.SIGTERM, exit_zero)
    try:
        watch(redis, others)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stop(others)
        stop(redis)  # the others may need it until they have ended


def exit_zero(*_):
    """Exit successfully, after a signal."""
    sys.exit(0)


def create_processes():
    """Return the embedded Redis, if the service needs it, and the other processes."""
    redis, others = [], []
    lines = (ROOT / "Procfile.dev").read_text().splitlines()
    for line, colour in zip(lines, cycle(COLOURS)):
        name, _, command = line.partition(": ")
        label = click.style(f"{name:>6} | ", fg=colour)
        if name != "redis":
            others.append(ManagedProcess(name, label, shlex.split(command)))
        elif current_app.config["REDIS_EMBEDDED"]:
            command = redis_command(current_app.instance_path, persistent=True)
            redis.append(ManagedProcess(name, label, command))
    return redis, others


def relay(children, seconds):
    """Print output for some time, or until these processes and theirs have ended."""
    deadline = time.monotonic() + seconds
    # A pipe is closed when the last process that could write has ended.
    while time.monotonic() < deadline and any(not c.output.closed for c in children):
        for key, _ in SELECTOR.select(0.1):
            key.data.print_output()


def stop(children):
    """Stop processes and those that they have started, by SIGTERM and later SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for child in children:
            with suppress(ProcessLookupError, PermissionError):  # all are gone already
                os.killpg(child.process.pid, number)
        relay(children, START_TIMEOUT_SECONDS)
    for child in children:
        child.process.wait()


def watch(redis, others):
    """Announce when the service is ready, and restart processes when the code changes.

    Raise ClickException when a process ends.
    """
    announced, deadline = False, time.monotonic() + START_TIMEOUT_SECONDS
    known = sources()
    while True:
        time.sleep(0.1)  # also if all have ended
        relay(redis + others, 0.4)
        for child in redis + others:
            child.check_running()
        if not announced:
            status, body = readiness(current_app.config["PORT"])
            ready = status == 200 and '"worker":"ok"' in body
            announced = ready or status and time.monotonic() > deadline
            if announced:
                announce("ready" if ready else f"not ready: {body}")
        if known != (known := sources()):
            for child in others:
                stop([child])
                child.is_restarted = True
                child.start()


def sources():
    """Return the time of the last change of each source file."""
    changed = {}
    for path in (*ROOT.glob("*.py"), *Path(current_app.root_path).rglob("*.py")):
        with suppress(FileNotFoundError):  # a temporary file of an editor
            changed[path] = path.lstat().st_mtime_ns  # or a broken link
    return changed


def announce(state):
    """Print the address of the service, and how to try it."""
    config = current_app.config
    address, accounts = f"http://{HOST}:{config['PORT']}", demo_accounts(config)
    click.secho(f"\n  The service is {state}", bold=True)
    click.echo(f"  Address   {address}/\n  Docs      {address}/docs/")
    for account in accounts:
        click.echo(f"  Account   {'  '.join(account)}")
    if accounts:
        credentials = shlex.quote(":".join(accounts[0]))
        mine = f"{address}{config['API_PREFIX']}/account"
        click.echo(f"  Try       curl -u {credentials} {mine}")
    click.echo("  Stop      Ctrl-C\n")
