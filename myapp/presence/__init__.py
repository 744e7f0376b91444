"""Heartbeats of devices."""

from .endpoints import presence
