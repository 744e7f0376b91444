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
    """Run processes until one of them ends, or a signal stops this one."""
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
    """Exit successfully, after a signal."""
    sys.exit(0)


def children():
    """Yield a ManagedProcess for each process of Procfile.dev to start."""
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
    """A process of Procfile.dev; `keeps_running`: it does not restart on changes."""

    # The output of all processes. It is read without a thread, since this process forks.
    selector = selectors.DefaultSelector()

    def __init__(self, name, command, folder, colour, keeps_running=False):
        self.name = name
        self.keeps_running = keeps_running
        self._command = command
        self._folder = folder
        self._label = click.style(f"{name:>6} | ", fg=colour)
        self._restarted = False

    def start(self):
        """Start the process."""
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
        """Start the process again, after a change of the code."""
        self.start()
        self._restarted = True

    def signal(self, number):
        """Send a signal to the process and those that it has started."""
        with suppress(ProcessLookupError, PermissionError):  # all are gone already
            os.killpg(self.process.pid, number)

    def check_running(self):
        """Raise ClickException if the process has ended, unless it was restarted.

        After a change, the code may be incomplete for a while.
        """
        code = self.process.poll()
        if code is None:
            return
        if not self._restarted:
            raise click.ClickException(f"{self.name} ended with code {code}.")
        if self._is_waiting or self.is_open:
            return
        self._is_waiting = True
        click.echo(
            f"{self._label}does not start; it will be restarted when the code changes."
        )

    @classmethod
    def relay(cls, seconds):
        """Print output of the processes, and wait for it at most `seconds`."""
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
    """Stop processes and those that they have started, by SIGTERM and later SIGKILL."""
    children = list(children)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for child in children:
            child.signal(number)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        # The pipe is closed when the last process that could write has ended.
        while any(child.is_open for child in children) and time.monotonic() < deadline:
            ManagedProcess.relay(0.1)
    for child in children:
        child.process.wait()


def watch(children):
    """Announce when the service is ready, and restart processes when the code changes.

    Raises ClickException when a process ends.
    """
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
    """Return the time of the last change of each source file."""
    package = Path(current_app.root_path)
    shared, features = package.parent.glob("*.py"), package.rglob("*.py")
    changed = {}
    for path in (*shared, *features):
        with suppress(FileNotFoundError):  # a temporary file of an editor
            changed[path] = path.lstat().st_mtime_ns  # or a broken link
    return changed


def announce(state):
    """Print the address of the service, and how to try it."""
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
