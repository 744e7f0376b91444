"""Which devices are online now."""

from .endpoints import presence

__all__ = ["presence"]
