"""The account of the caller."""

from .endpoints import account
