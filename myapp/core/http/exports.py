"""Download whole collections, streamed in constant memory from one snapshot.

CSV (RFC 4180) is for spreadsheets, NDJSON for programs. A CSV cell that a spreadsheet would
run as a formula is prefixed with an apostrophe. A cell that begins with an apostrophe gets
one more, so that `unescape_formula` can restore every text.
"""

import csv
import io
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from functools import wraps
from typing import Any, ParamSpec

from flask import Response, request, stream_with_context

from ..data.models.schema_model import SchemaModel
from ..schema.operation import document_operation, header_refs
from ..schema.serialization import dumps
from .compression import compress_stream, negotiate_coding
from .query import (
    INVALID_QUERY,
    check_query,
    collect_query_errors,
    filter_parameters,
    one_of,
    parse_selection,
    query_parameter,
)

P = ParamSpec("P")
Pieces = Generator[bytes, None, None]
Batches = Generator[Iterable[Any], None, None]  # of records, or of rows of values

MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8; header=present",
    "ndjson": "application/x-ndjson",
}
BINARY_CONTENT = {"schema": {"type": "string", "format": "binary"}}
# Characters that begin a formula. Chinese, Japanese and Korean spreadsheets accept the
# full-width ones too.
FORMULA_PREFIXES = frozenset("=+-@\t\r\n＝＋－＠'")


def exports(
    model: type[SchemaModel],
) -> Callable[[Callable[P, Batches]], Callable[P, Response]]:
    """Respond with all records of `model` that match the query, as a download.

    The verb gets the sort order, the filters and the search as `page`, and returns a
    generator of batches of records. Invalid query parameters raise 400.
    """

    def decorator(verb: Callable[..., Batches]) -> Callable[..., Response]:
        @wraps(verb)
        def wrapper(*args: Any, **kwargs: Any) -> Response:
            with collect_query_errors() as check:
                form = check("format", one_of(*MEDIA_TYPES), "csv")
                page = parse_selection(model, check)
            pieces = no_pieces()
            if request.method == "GET":
                batches = verb(*args, page=page, **kwargs)
                pieces = start_stream(ENCODERS[form](model, batches))
            return download_response(pieces, form, model.collection)

        content = {
            kind.partition(";")[0]: BINARY_CONTENT for kind in MEDIA_TYPES.values()
        }
        return document_operation(
            wrapper,
            decorator="exports",
            parameters=[
                query_parameter(
                    "format",
                    "The format: CSV for spreadsheets, NDJSON for programs.",
                    type="string",
                    enum=list(MEDIA_TYPES),
                    default="csv",
                ),
                *filter_parameters(model),
            ],
            responses={
                "200": {
                    "description": "All matching records.",
                    "headers": header_refs("Content-Disposition"),
                    "content": content,
                },
                "400": INVALID_QUERY,
            },
        )

    return decorator


def responds_csv(
    stem: str, names: Iterable[str]
) -> Callable[[Callable[P, Batches]], Callable[P, Response]]:
    """Respond with a CSV file `stem`.csv whose columns are `names`.

    The verb returns a generator of batches of rows.
    """

    def decorator(verb: Callable[..., Batches]) -> Callable[..., Response]:
        @wraps(verb)
        def wrapper(*args: Any, **kwargs: Any) -> Response:
            check_query()
            batches = verb(*args, **kwargs)
            is_get = request.method == "GET"
            pieces = start_stream(csv_lines(names, batches)) if is_get else no_pieces()
            return download_response(pieces, "csv", stem)

        response = {
            "description": "All rows.",
            "headers": header_refs("Content-Disposition"),
            "content": {"text/csv": BINARY_CONTENT},
        }
        return document_operation(
            wrapper,
            responses={"200": response, "400": INVALID_QUERY},
            decorator="responds_csv",
        )

    return decorator


def download_response(pieces: Pieces, form: str, stem: str) -> Response:
    """Return a response that streams `pieces` as the file `stem`.`form`.

    `form` is a key of MEDIA_TYPES.
    """
    content_coding = negotiate_coding()
    if content_coding:
        pieces = compress_stream(pieces, content_coding)
    response = Response(stream_with_context(pieces), content_type=MEDIA_TYPES[form])
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "Authorization, Accept-Encoding"
    if content_coding:
        response.headers["Content-Encoding"] = content_coding
    disposition = f'attachment; filename="{stem}.{form}"'
    response.headers["Content-Disposition"] = disposition
    return response


def no_pieces() -> Pieces:
    """Yield nothing: the content of the response to a HEAD request."""
    yield from ()


def start_stream(pieces: Pieces) -> Pieces:
    """Return the same pieces, with the first one already computed.

    An error in the first piece is raised here, so that the client gets a problem. A later
    error aborts the download after a quote that is never closed: behind a proxy, a closed
    connection may look like the end of the file, but the unclosed quote makes it invalid.
    """
    first = next(pieces)

    def resume() -> Pieces:
        yield first
        try:
            yield from pieces
        except Exception:
            yield b'"'
            raise

    return resume()


def encode_ndjson(model: type[SchemaModel], batches: Batches) -> Pieces:
    """Yield a piece for each batch: a line of JSON for each record."""
    with closing(batches):
        for records in batches:
            yield b"".join(dumps(model.as_json(record)) + b"\n" for record in records)


def encode_csv(model: type[SchemaModel], batches: Batches) -> Pieces:
    """Yield a line of property names, then a line for each record."""
    with closing(batches):
        rows = ((model.as_json(record).values() for record in b) for b in batches)
        yield from csv_lines(model.read_schema["properties"], rows)


def csv_lines(names: Iterable[str], batches: Batches) -> Pieces:
    """Yield CSV, a piece for each batch: a line of names, then one for each row."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(names)
    with closing(batches):
        for rows in batches:
            for values in rows:
                writer.writerow(map(encode_cell, values))
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()


ENCODERS: dict[str, Callable[[type[SchemaModel], Batches], Pieces]] = {
    "csv": encode_csv,
    "ndjson": encode_ndjson,
}


def encode_cell(value: Any) -> str:
    """Return a value as a CSV cell.

    Formulas in texts are escaped, null is empty, and other values are written as in JSON.
    """
    if isinstance(value, str):
        return "'" + value if value[:1] in FORMULA_PREFIXES else value
    return "" if value is None else dumps(value).decode().strip('"')


def unescape_formula(text: str) -> str:
    """Return the text that `encode_cell` escaped."""
    return text[1:] if text[:1] == "'" and text[1:2] in FORMULA_PREFIXES else text
