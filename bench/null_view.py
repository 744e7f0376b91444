"""The service, and beside it a view that does nothing: what an answer costs at least."""

from wsgi import app


@app.get("/nothing")
def nothing():
    return {}
