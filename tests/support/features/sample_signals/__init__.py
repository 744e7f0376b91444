"""A feature in Redis."""

from .endpoints import signals

__all__ = ["signals"]
