"""Bulk registration of devices from a file, in the background."""

from .endpoints import imports
