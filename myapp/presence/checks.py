"""The check of heartbeats for `flask doctor`."""

from ..core import check, error
from .settings import PRESENCE_TTL


@check()
def presence(config):
    """Check that a heartbeat does not expire at once."""
    seconds = config["PRESENCE_TTL"]
    if seconds == 0:
        hint = f"MYAPP_PRESENCE_TTL={PRESENCE_TTL}"
        yield error("PRESENCE_TTL is 0, so that each heartbeat expires at once", hint)
    return f"a device is offline after {seconds:,} s without a heartbeat"
