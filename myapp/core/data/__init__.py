"""The stores: SQL through SQLAlchemy, Redis, and the models that features define."""
