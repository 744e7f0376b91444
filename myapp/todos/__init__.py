"""To-dos of a household."""

from .endpoints import todos

__all__ = ["todos"]
