"""What `flask doctor` checks of heartbeats."""

from ..core import check, error
from .settings import PRESENCE_TTL


@check()
def presence(config):
    """Check that a heartbeat does not expire at once."""
    seconds = config["PRESENCE_TTL"]
    if seconds == 0:
        hint = f"MYAPP_PRESENCE_TTL={PRESENCE_TTL}"
        yield error("PRESENCE_TTL 0: no heartbeat can be taken", hint)
    return f"a device is away after {seconds:,} s without a heartbeat"
