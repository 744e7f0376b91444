"""The service with an additional view that does nothing: the lowest cost of a response."""

from wsgi import app


@app.get("/nothing")
def nothing():
    return {}
