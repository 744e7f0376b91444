"""Smart devices in people's homes."""

from .endpoints import devices
