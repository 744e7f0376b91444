"""Household to-dos."""

from .endpoints import todos

__all__ = ["todos"]
