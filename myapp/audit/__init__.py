"""Who signed in, and who changed what others may do."""

from .endpoints import audit

__all__ = ["audit"]
