"""Content codings (RFC 9110 §8.4): zstd or gzip, for who takes them and where it pays.

An item's own answer is never coded: its ETag is what If-Match brings back, and a coding
would make it another one. What is coded has an ETag of its own for each coding.
"""

import sys
import zlib
from contextlib import closing
from functools import lru_cache

from flask import request
from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SMALLEST = 1024  # bytes; fewer travel in one packet anyway
CODINGS = {  # the better first
    "zstd": lambda: zstd.ZstdCompressor(level=3),
    "gzip": lambda: zlib.compressobj(6, wbits=31),
}


def coding():
    """The coding that this request's client likes best, or None for none."""
    return chosen(request.headers.get("Accept-Encoding", ""))


@lru_cache(256)
def chosen(accepted):
    """The best coding that an Accept-Encoding lets us use, or None."""
    if not accepted:
        return None
    best = parse_accept_header(accepted, Accept).best_match([*CODINGS, "identity"])
    return best if best in CODINGS else None


def coded(data, coding):
    """These bytes in a coding."""
    compressor = CODINGS[coding]()
    return compressor.compress(data) + compressor.flush()


def coded_pieces(pieces, coding):
    """A stream of bytes in a coding; it ends when they do."""
    compressor = CODINGS[coding]()
    with closing(pieces):
        for piece in pieces:
            yield compressor.compress(piece)
    yield compressor.flush()
