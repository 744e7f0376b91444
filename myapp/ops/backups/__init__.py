"""`flask backup` and `flask restore`."""
