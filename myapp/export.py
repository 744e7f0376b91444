"""Whole collections as a download, streamed in constant memory from one snapshot.

CSV for spreadsheets, NDJSON for programs. A cell that a spreadsheet would run as a formula
gets an apostrophe before it, and so does one that begins with an apostrophe, so that
`unguarded` finds out what was there.
"""

import csv
import io
from datetime import datetime
from functools import wraps

from flask import Response, request, stream_with_context

from .db import unit_of_work
from .docs import describes, problem_response
from .etags import dumps
from .paging import asked_for, filter_parameters
from .problems import Problem, fault

TYPES = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}
RUNS = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def exports(model):
    """Answer with all records as a download; the verb gets what the query asks for as
    `page`, and returns batches of records."""
    names = [name for name in model.read_schema["properties"]]
    encoders = {"csv": lambda batches: as_csv(model, names, batches)}
    encoders["ndjson"] = lambda batches: as_ndjson(model, batches)

    def decorator(verb):
        @wraps(verb)
        def wrapper(*args, **kwargs):
            form = request.args.get("format", "csv")
            if form not in TYPES:
                wrong = f"must be one of: {', '.join(TYPES)}"
                raise Problem(400, errors=[fault("/format", wrong)])
            batches = verb(*args, page=asked_for(model), **kwargs)
            response = Response(content_type=TYPES[form])
            response.headers["Cache-Control"] = "no-store"
            name = f'attachment; filename="{model.collection}.{form}"'
            response.headers["Content-Disposition"] = name
            response.response = iter(())  # of no length that anybody knows
            if request.method == "GET":
                response.response = stream_with_context(
                    in_one_snapshot(encoders[form](batches))
                )
            return response

        parameter = {
            "name": "format",
            "in": "query",
            "description": "For spreadsheets, or for programs.",
            "schema": {"enum": list(TYPES), "default": "csv"},
        }
        text = {"schema": {"type": "string"}}
        content = {kind.partition(";")[0]: text for kind in TYPES.values()}
        return describes(
            wrapper,
            parameters=[parameter, *filter_parameters(model)],
            responses={
                "200": {"description": "All that match.", "content": content},
                "400": problem_response("A query parameter makes no sense."),
            },
        )

    return decorator


def in_one_snapshot(pieces):
    """The pieces, read in a transaction that ends with them, or when the client leaves."""
    with unit_of_work(writes=False):
        yield from pieces


def as_ndjson(model, batches):
    """A line of JSON for each record."""
    for records in batches:
        yield b"".join(dumps(model.as_json(record)) + b"\n" for record in records)


def as_csv(model, names, batches):
    """A line of names, then a line for each record."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    for records in batches:
        for record in records:
            shown = model.as_json(record)
            writer.writerow([cell(shown[name]) for name in names])
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


def cell(value):
    """A value as a spreadsheet may have it."""
    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    if isinstance(value, str) and value.startswith(RUNS):
        return "'" + value
    return value


def unguarded(text):
    """What a cell held before `cell` made it harmless."""
    return text[1:] if text[:1] == "'" and text[1:].startswith(RUNS) else text
