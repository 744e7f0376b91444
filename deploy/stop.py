"""Ask uWSGI to end when it has answered what it is at; what is at nothing ends now.

    python3 stop.py <its process id> /run/myapp/stats.sock

A worker that is still loading does not hear uWSGI, and uWSGI would wait for it for ever.
"""

import os
import signal
import sys
import time
from contextlib import suppress

from health_probe import workers

main, stats = sys.argv[1:]
there = workers(stats)
os.kill(int(main), signal.SIGTERM)
time.sleep(0.2)  # from now on it starts no other
for pid, takes_calls in there.items():
    if not takes_calls:
        with suppress(ProcessLookupError):  # it has ended already
            os.kill(pid, signal.SIGKILL)
