"""Tell systemd, again and again, that the web service answers; silence has it restarted.

uWSGI starts this beside its workers. It asks as nginx does, so that workers which hang, a
master that is gone, and a socket that nobody listens to all count.
"""

import os
import socket
import sys
import time

from health_probe import send_request

notify, period = os.environ.get("NOTIFY_SOCKET"), os.environ.get("WATCHDOG_USEC")
if not (notify and period):
    sys.exit("systemd does not ask for a sign of life: see WatchdogSec= in its unit.")
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
