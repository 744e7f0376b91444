"""Sign-up, sign-in and sessions."""

from .endpoints import auth
