"""Roles: named bundles of permissions."""

from .endpoints import roles
