"""Accounts, for those who look after them."""

from .endpoints import users

__all__ = ["users"]
