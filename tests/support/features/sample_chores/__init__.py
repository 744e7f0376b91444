"""A feature in SQL with optional properties and a reference."""

from .endpoints import chores

__all__ = ["chores"]
