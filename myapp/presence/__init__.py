"""Which devices are online now."""

from . import tasks
from .endpoints import presence

__all__ = ["presence", "tasks"]
