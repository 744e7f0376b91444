"""My own account."""

from .endpoints import account

__all__ = ["account"]
