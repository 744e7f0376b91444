"""`flask up` and the processes that it starts."""
