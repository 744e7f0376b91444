"""Is the service there, and can it work?"""

from .endpoints import status

__all__ = ["status"]
