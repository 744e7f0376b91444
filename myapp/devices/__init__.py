"""Smart devices in people's homes."""

from . import commands
from .endpoints import devices

__all__ = ["devices", "commands"]
