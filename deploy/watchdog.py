"""Notify systemd while the web service answers; otherwise systemd restarts it.

uWSGI starts this process beside its workers. It sends requests as nginx does, so that it
also detects workers that hang, a missing master and a socket without a listener.
"""

import os
import socket
import sys
import time

from health_probe import send_request

notify, period = os.environ.get("NOTIFY_SOCKET"), os.environ.get("WATCHDOG_USEC")
if not (notify and period):
    sys.exit("systemd expects no notifications: see WatchdogSec= in the unit.")
pause = int(period) / 1_000_000 / 4  # seconds

while True:
    try:
        status, _ = send_request(sys.argv[1], "/status/", pause * 2)
        if status == 200:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
                systemd.connect(notify.replace("@", "\0", 1))
                systemd.send(b"WATCHDOG=1")
    except OSError as error:
        print(f"The service does not answer: {error}.", flush=True)
    time.sleep(pause)
