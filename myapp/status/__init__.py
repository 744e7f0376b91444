"""Liveness and readiness of the service."""

from .endpoints import status
