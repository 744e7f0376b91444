"""Signing in."""

from . import tasks
from .endpoints import auth

__all__ = ["auth", "tasks"]
