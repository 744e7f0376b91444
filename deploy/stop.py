"""Stop uWSGI gracefully: requests are answered first, and loading workers are killed.

    python3 stop.py <its process id> /run/myapp/stats.sock

A worker that is still loading ignores uWSGI, which would wait for it without an end.
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
time.sleep(0.2)  # from now on uWSGI starts no worker
for pid, takes_calls in there.items():
    if not takes_calls:
        with suppress(ProcessLookupError):  # it has ended
            os.kill(pid, signal.SIGKILL)
