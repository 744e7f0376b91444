"""`flask new-feature`."""
