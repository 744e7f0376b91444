"""A body that comes in chunks (RFC 9112 §7.1) under uWSGI, which reads them if asked to.

Other servers do that by themselves, and nginx puts a body together before it hands it on.
"""

from io import RawIOBase

try:
    import uwsgi
except ImportError:  # it is there in uWSGI's own processes alone
    uwsgi = None


def init_app(app):
    if uwsgi:
        app.wsgi_app = Chunked(app.wsgi_app)


class Chunked:
    """A WSGI application that may be sent chunks."""

    def __init__(self, wsgi_app):
        self.wsgi_app = wsgi_app

    def __call__(self, environ, start_response):
        if environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
            environ.pop("CONTENT_LENGTH", None)  # which counts for nothing then
            environ["wsgi.input"] = Body()
            environ["wsgi.input_terminated"] = True
        return self.wsgi_app(environ, start_response)


class Body(RawIOBase):
    """What the chunks of this request hold. A chunk that is cut off raises OSError."""

    piece = b""

    def readable(self):
        return True

    def readinto(self, buffer):
        if self.piece is not None and not self.piece:
            self.piece = uwsgi.chunked_read() or None  # None: that was the last one
        if self.piece is None:
            return 0
        size = min(len(buffer), len(self.piece))
        buffer[:size], self.piece = self.piece[:size], self.piece[size:]
        return size
