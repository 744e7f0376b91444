"""Household to-dos."""

from . import commands
from .endpoints import todos

__all__ = ["todos", "commands"]
