"""The check of heartbeats for `flask doctor`."""

from ..core import Error, Ok, check
from .settings import PRESENCE_TTL


@check("presence")
def check_presence(context):
    """Check that a heartbeat does not expire at once."""
    seconds = context.config["PRESENCE_TTL"]
    if seconds == 0:
        hint = f"MYAPP_PRESENCE_TTL={PRESENCE_TTL}"
        message = "PRESENCE_TTL is 0, so that each heartbeat expires at once"
        yield Error(message, hint, "presence.E001")
    yield Ok(f"a device is offline after {seconds:,} s without a heartbeat")
