"""A feature in Redis whose records have an owner, with CrudResource."""

from .endpoints import marks
