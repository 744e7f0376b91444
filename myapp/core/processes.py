"""Child processes that do not outlive their parent."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from functools import partial
from threading import Thread

LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG = 1  # prctl(2)


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
