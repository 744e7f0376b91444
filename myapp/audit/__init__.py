"""Who signed in, and who changed what others may do."""

from . import tasks
from .endpoints import audit

__all__ = ["audit", "tasks"]
