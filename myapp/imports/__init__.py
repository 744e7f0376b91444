"""Bulk registration of devices, in the background."""

from .endpoints import imports

__all__ = ["imports"]
