"""Accounts, for those who look after them."""

from . import commands, tasks
from .endpoints import users

__all__ = ["users", "commands", "tasks"]
