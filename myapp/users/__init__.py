"""Accounts, for administrators."""

from .endpoints import users
