"""Wait for a process that the tests or the benchmarks have started."""

import time

TIMEOUT_SECONDS = 60  # on a busy machine


def wait_until(condition, errors=()):
    """Wait until the condition holds; one of these errors means that it does not yet."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            if condition():
                return
        except errors:
            pass
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
