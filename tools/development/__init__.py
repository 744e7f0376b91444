"""`flask dev` and the processes that it starts."""
