"""A feature in Redis."""

from .endpoints import signals
