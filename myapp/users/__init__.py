"""Accounts, for those who look after them."""

from . import tasks
from .endpoints import users

__all__ = ["users", "tasks"]
