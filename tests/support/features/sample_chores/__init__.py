"""A feature in SQL with optional properties and a reference, with CrudResource."""

from .endpoints import chores
