"""Bulk registration of devices, in the background."""

from . import commands
from .endpoints import imports

__all__ = ["imports", "commands"]
