"""Settings of heartbeats."""

PRESENCE_TTL = 300  # seconds without a heartbeat until a device counts as offline
