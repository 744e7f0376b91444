"""Read chunked request bodies (RFC 9112 §7.1) under uWSGI, which does so only on request.

Other servers read them by themselves, and nginx buffers the body before it passes it on.
"""

from collections.abc import Iterable
from io import RawIOBase
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask

try:
    import uwsgi
except ImportError:  # the module exists only in the processes of uWSGI
    uwsgi = None


def init_app(app: Flask) -> None:
    """Wrap `app` in the middleware, if uWSGI serves it."""
    if uwsgi:
        # As Flask's documentation does.
        app.wsgi_app = ChunkedInputMiddleware(app.wsgi_app)  # type: ignore[method-assign]


class ChunkedInputMiddleware:
    """Middleware that lets an application read chunked bodies."""

    def __init__(self, wsgi_app: WSGIApplication) -> None:
        self.wsgi_app = wsgi_app

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
            # Transfer-Encoding overrides Content-Length (RFC 9112 §6.3).
            environ.pop("CONTENT_LENGTH", None)
            environ["wsgi.input"] = ChunkedBody()
            environ["wsgi.input_terminated"] = True
        return self.wsgi_app(environ, start_response)


class ChunkedBody(RawIOBase):
    """The decoded body of the current request. An incomplete chunk raises OSError."""

    piece: bytes | None = b""  # received and not read yet; None at the end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # Any writable buffer: collections.abc.Buffer exists since Python 3.12 only.
        if self.piece is not None and not self.piece:
            self.piece = uwsgi.chunked_read() or None
        if self.piece is None:
            return 0
        size = min(len(buffer), len(self.piece))
        buffer[:size], self.piece = self.piece[:size], self.piece[size:]
        return size
