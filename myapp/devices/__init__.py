"""Smart devices in people's homes."""

from .endpoints import devices

__all__ = ["devices"]
