"""Content codings (RFC 9110 §8.4): zstd or gzip, if the client accepts one and it pays.

The response with a single item is never compressed: clients send its ETag back as If-Match,
and each coding is a representation with an ETag of its own.
"""

import sys
import zlib
from collections.abc import Callable, Generator
from contextlib import closing
from functools import lru_cache
from typing import Protocol

from flask import request
from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIN_COMPRESSED_BYTES = 1024  # bytes; a smaller body fits into one packet anyway


class Compressor(Protocol):
    """The interface that the compressors of zlib and zstd share."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


COMPRESSORS: dict[str, Callable[[], Compressor]] = {  # in order of preference
    "zstd": lambda: zstd.ZstdCompressor(level=3),
    "gzip": lambda: zlib.compressobj(6, wbits=31),
}


def negotiate_coding() -> str | None:
    """Return the coding that the client prefers, or None."""
    return best_coding(request.headers.get("Accept-Encoding", ""))


@lru_cache(256)
def best_coding(accepted: str) -> str | None:
    """Return the best coding for an Accept-Encoding header, or None."""
    if not accepted:
        return None
    best = parse_accept_header(accepted, Accept).best_match([*COMPRESSORS, "identity"])
    return best if best in COMPRESSORS else None


def compress(data: bytes, coding: str) -> bytes:
    """Return `data` compressed with `coding`, a key of CODINGS."""
    compressor = COMPRESSORS[coding]()
    return compressor.compress(data) + compressor.flush()


def compress_stream(
    pieces: Generator[bytes, None, None], coding: str
) -> Generator[bytes, None, None]:
    """Yield a stream of bytes, compressed with `coding`; close `pieces` at the end."""
    compressor = COMPRESSORS[coding]()
    with closing(pieces):
        for piece in pieces:
            yield compressor.compress(piece)
    yield compressor.flush()
