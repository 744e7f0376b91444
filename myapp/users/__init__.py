"""Accounts, for administrators."""

from .endpoints import users

__all__ = ["users"]
