"""To-dos of a household."""

from .endpoints import todos
