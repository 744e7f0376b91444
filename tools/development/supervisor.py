"""Start the processes of Procfile.dev, restart them on changes, stop them together."""

import os
import selectors
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import click
from flask import current_app

from myapp.core.data.embedded_redis import START_TIMEOUT_SECONDS, redis_command
from myapp.core.processes import spawn
from myapp.ops.probes import HOST, readiness
from myapp.users.commands import demo_accounts

COLOURS = ("magenta", "cyan", "yellow", "green", "blue")


def run_together(children):
    """Run these until one ends, or somebody asks us to end."""
    for child in children:
        child.start()
    signal.signal(signal.SIGINT, exit_zero)
    signal.signal(signal.SIGTERM, exit_zero)
    try:
        watch(children)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stop(child for child in children if not child.keeps_running)
        # the others may need it
        stop(child for child in children if child.keeps_running)


def exit_zero(*_):
    sys.exit(0)


def children():
    """A ManagedProcess for each line of Procfile.dev that is to be started here."""
    config = current_app.config
    folder = Path(current_app.root_path).parent
    lines = (folder / "Procfile.dev").read_text().splitlines()
    for line, colour in zip(lines, cycle(COLOURS)):
        name, _, command = line.partition(": ")
        if name != "redis":
            yield ManagedProcess(name, shlex.split(command), folder, colour)
        elif config["REDIS_EMBEDDED"]:
            command = redis_command(current_app.instance_path, persistent=True)
            yield ManagedProcess(name, command, folder, colour, keeps_running=True)


class ManagedProcess:
    """A process of Procfile.dev; `keeps_running`: whether it has nothing to do with our
    code."""

    # Where they say something. No thread waits there: whoever forks wants none about.
    selector = selectors.DefaultSelector()

    def __init__(self, name, command, folder, colour, keeps_running=False):
        self.name = name
        self.keeps_running = keeps_running
        self._command = command
        self._folder = folder
        self._label = click.style(f"{name:>6} | ", fg=colour)
        self._restarted = False

    def start(self):
        binaries = os.path.dirname(sys.executable)
        path = os.pathsep.join((binaries, os.environ.get("PATH", os.defpath)))
        self.process = spawn(
            self._command,
            cwd=self._folder,
            env=os.environ | {"PATH": path, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._pending = b""
        self.is_open, self._is_waiting = True, False
        self.selector.register(self.process.stdout, selectors.EVENT_READ, self)

    def restart(self):
        """It has another code to run now."""
        self.start()
        self._restarted = True

    def signal(self, number):
        """Send it, and what it started, a signal."""
        with suppress(ProcessLookupError, PermissionError):  # all are gone already
            os.killpg(self.process.pid, number)

    def check_running(self):
        """Raise ClickException if it has ended. Where the code has changed, perhaps
        somebody saved a file half-written: no reason to end."""
        code = self.process.poll()
        if code is None:
            return
        if not self._restarted:
            raise click.ClickException(f"{self.name} ended with code {code}.")
        if self._is_waiting or self.is_open:
            return
        self._is_waiting = True
        click.echo(f"{self._label}does not start; again when the code changes.")

    @classmethod
    def relay(cls, seconds):
        """Print what they all say, as long as that, or until one has said something."""
        for key, _ in cls.selector.select(seconds):
            key.data._print(os.read(key.fd, 65536))

    def _print(self, piece):
        if not piece:
            self.is_open = False
            self.selector.unregister(self.process.stdout)
            self.process.stdout.close()
            piece = b"\n" if self._pending else b""
        *lines, self._pending = (self._pending + piece).split(b"\n")
        for line in lines:
            click.echo(self._label + line.decode(errors="replace"))


def stop(children):
    """End these and what they started: asked to, and after START_TIMEOUT_SECONDS seconds
    made to."""
    children = list(children)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for child in children:
            child.signal(number)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        # The end of its pipe: nobody is left who could write.
        while any(child.is_open for child in children) and time.monotonic() < deadline:
            ManagedProcess.relay(0.1)
    for child in children:
        child.process.wait()


def watch(children):
    """Tell when the service is ready; start anew what our code has changed for; raise
    ClickException when a child ends."""
    announced, deadline = False, time.monotonic() + START_TIMEOUT_SECONDS
    known, next_check = sources(), time.monotonic()
    while True:
        ManagedProcess.relay(0.1)
        for child in children:
            child.check_running()
        if time.monotonic() < next_check:
            continue
        next_check = time.monotonic() + 0.5
        if not announced:
            status, body = readiness(current_app.config["PORT"])
            ready = status == 200 and '"worker":"ok"' in body
            announced = ready or status and time.monotonic() > deadline
            if announced:
                announce("ready" if ready else f"not ready: {body}")
        if known != (known := sources()):
            for child in children:
                if not child.keeps_running:
                    stop([child])
                    child.restart()


def sources():
    """When each source file of the service was changed."""
    package = Path(current_app.root_path)
    shared, features = package.parent.glob("*.py"), package.rglob("*.py")
    changed = {}
    for path in (*shared, *features):
        with suppress(FileNotFoundError):  # an editor's, which is gone already
            changed[path] = path.lstat().st_mtime_ns  # it may be a link to nowhere, too
    return changed


def announce(state):
    """Print where the service is, and how to try it."""
    config = current_app.config
    address = f"http://{HOST}:{config['PORT']}"
    accounts = demo_accounts(config)
    lines = [("Address", f"{address}/"), ("Docs", f"{address}/docs/")]
    lines += [("Account", "  ".join(account)) for account in accounts]
    if accounts:
        credentials = shlex.quote(":".join(accounts[0]))
        mine = f"{address}{config['API_PREFIX']}/account"
        lines.append(("Try", f"curl -u {credentials} {mine}"))
    lines.append(("Stop", "Ctrl-C"))
    click.secho(f"\n  The service is {state}", bold=True)
    for name, text in lines:
        click.echo(f"  {name:<9} {text}")
    click.echo()
