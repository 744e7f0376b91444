"""A feature with uploads, and with a task that a worker runs."""

from .endpoints import files
