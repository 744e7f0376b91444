"""WSGI middleware, and the headers that every response carries."""
