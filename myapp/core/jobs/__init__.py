"""Background work: Celery over Redis, and the scheduler."""
