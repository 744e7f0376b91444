"""Child processes that do not outlive their parent."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from threading import Thread
from typing import Any

IS_LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG = 1  # prctl(2)


def die_with_parent(parent: int | None = None, number: int = signal.SIGTERM) -> None:
    """Have the signal `number` sent to this process when its parent has ended.

    `parent`: the parent's process id. A caller that knows it from before passes it, so
    that a parent which has ended meanwhile is noticed.
    On Linux this survives exec, and the parent is the thread that started this process.
    """
    parent = os.getppid() if parent is None else parent
    if IS_LINUX:
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(number))
        if os.getppid() != parent:
            os.kill(os.getpid(), number)
    else:
        Thread(target=_watch_parent, args=(parent, number), daemon=True).start()


def _watch_parent(parent: int, number: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), number)


def spawn(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a command in its own process group; it ends when this process ends.

    `options` are those of Popen. Call this from a thread that lasts: on Linux the child
    gets its signal when that thread ends.
    """
    # In its own group, so that Ctrl-C reaches only this process, which stops the children
    # in the right order.
    watch = partial(die_with_parent, os.getpid()) if IS_LINUX else None
    return subprocess.Popen(command, process_group=0, preexec_fn=watch, **options)
