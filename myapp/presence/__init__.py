"""Heartbeats of devices."""

from .endpoints import presence

__all__ = ["presence"]
