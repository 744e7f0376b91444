"""Signing in."""

from .endpoints import auth

__all__ = ["auth"]
