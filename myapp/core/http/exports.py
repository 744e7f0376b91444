"""Whole collections as a download, streamed in constant memory from one snapshot.

CSV (RFC 4180) for spreadsheets, NDJSON for programs. A cell that a spreadsheet would run
as a formula gets an apostrophe before it, and so does one that begins with an apostrophe,
so that `unguarded` finds out what was there.
"""

import csv
import io
from contextlib import closing
from functools import wraps

from flask import Response, request, stream_with_context

from ..schema.operation import carrying, describes, problem_response
from ..schema.serialization import dumps
from .compression import coded_pieces, coding
from .query import checked, chosen, filter_parameters, one_of, query

TYPES = {
    "csv": "text/csv; charset=utf-8; header=present",
    "ndjson": "application/x-ndjson",
}
FILE = {"schema": {"type": "string", "format": "binary"}}
# What begins a formula; the wide ones do in Chinese, Japanese and Korean spreadsheets.
RUNS = frozenset("=+-@\t\r\n＝＋－＠'")


def exports(model):
    """Answer with all records as a download; the verb gets what the query asks for as
    `page`, and returns batches of records."""

    def decorator(verb):
        @wraps(verb)
        def wrapper(*args, **kwargs):
            with checked() as check:
                form = check("format", one_of(*TYPES), "csv")
                page = chosen(model, check)
            pieces = ()
            if request.method == "GET":
                batches = verb(*args, page=page, **kwargs)
                pieces = begun(ENCODERS[form](model, batches))
            return download(pieces, form, model.collection)

        content = {kind.partition(";")[0]: FILE for kind in TYPES.values()}
        return describes(
            wrapper,
            parameters=[
                query(
                    "format",
                    "For spreadsheets, or for programs.",
                    type="string",
                    enum=list(TYPES),
                    default="csv",
                ),
                *filter_parameters(model),
            ],
            responses={
                "200": {
                    "description": "All that match.",
                    "headers": carrying("Content-Disposition"),
                    "content": content,
                },
                "400": problem_response("A query parameter makes no sense."),
            },
        )

    return decorator


def answers_csv(stem, names):
    """Answer with a CSV of these columns; the verb returns batches of rows."""

    def decorator(verb):
        @wraps(verb)
        def wrapper(*args, **kwargs):
            batches = verb(*args, **kwargs)
            reads = request.method == "GET"
            return download(begun(lines(names, batches)) if reads else (), "csv", stem)

        described = {
            "description": "All of them.",
            "headers": carrying("Content-Disposition"),
            "content": {"text/csv": FILE},
        }
        return describes(wrapper, responses={"200": described})

    return decorator


def download(pieces, form, stem):
    """The response that streams these pieces of a file of that form."""
    used = coding()
    if used:
        pieces = coded_pieces(pieces, used)
    response = Response(stream_with_context(pieces), content_type=TYPES[form])
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "Authorization, Accept-Encoding"
    if used:
        response.headers["Content-Encoding"] = used
    name = f'attachment; filename="{stem}.{form}"'
    response.headers["Content-Disposition"] = name
    return response


def begun(pieces):
    """The same pieces. The first is there already: what fails until then is answered
    with a problem, and what fails later breaks the download off, after a quote that is
    never closed: behind a proxy, the end of a connection may look like that of a file.
    """
    first = next(pieces)

    def all_of_them():
        yield first
        try:
            yield from pieces
        except Exception:
            yield b'"'
            raise

    return all_of_them()


def as_ndjson(model, batches):
    """A line of JSON for each record."""
    with closing(batches):
        for records in batches:
            yield b"".join(dumps(model.as_json(record)) + b"\n" for record in records)


def as_csv(model, batches):
    """A line of names, then a line for each record."""
    with closing(batches):
        rows = ((model.as_json(record).values() for record in b) for b in batches)
        yield from lines(model.read_schema["properties"], rows)


def lines(names, batches):
    """CSV: a line of names, then one for each row of values, a piece for each batch."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(names)
    with closing(batches):
        for rows in batches:
            for values in rows:
                writer.writerow(map(cell, values))
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()


ENCODERS = {"csv": as_csv, "ndjson": as_ndjson}


def cell(value):
    """A value as a cell: a text made harmless, nothing for null, else as in JSON."""
    if isinstance(value, str):
        return "'" + value if value[:1] in RUNS else value
    return "" if value is None else dumps(value).decode().strip('"')


def unguarded(text):
    """What a cell held before `cell` made it harmless."""
    return text[1:] if text[:1] == "'" and text[1:2] in RUNS else text
