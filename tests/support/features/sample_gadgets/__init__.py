"""A feature in SQL with every kind of download."""

from .endpoints import gadgets
