"""A feature in SQL whose records belong to a gadget, with CrudResource."""

from .endpoints import notes
