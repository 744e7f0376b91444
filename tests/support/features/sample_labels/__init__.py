"""A feature in SQL whose records have no owner, with CrudResource."""

from .endpoints import labels
