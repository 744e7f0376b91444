"""Build responses: JSON with an ETag, nothing, or a file."""

import re
import unicodedata
from functools import lru_cache, wraps
from http import HTTPStatus
from urllib.parse import quote

from flask import Response, request
from werkzeug.http import http_date
from werkzeug.urls import iri_to_uri

from ..errors import RETRY
from ..schema.operation import carrying, describes
from ..schema.serialization import dumps
from .compression import SMALLEST, coded, coding
from .preconditions import conditional, etag, precondition
from .requests import JSON

LONGEST_NAME = 255  # bytes of a file's name
# Names that Windows reserves, with any ending.
RESERVED_FILE = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\..*)?", re.I)
NO_STORE = {"Cache-Control": "no-cache, no-store, max-age=0"}


def answers(shape, *statuses, headers=()):
    """Answer with what the verb returns, as its read schema says.

    `shape`: a model, or a read schema. `statuses`: what it may answer with, 200 unless
    given; a verb that has a choice returns (result, status). `headers`: more of them.
    """
    schema = getattr(shape, "read_schema", shape)
    statuses = statuses or (200,)

    def decorator(verb):
        @wraps(verb)
        def wrapper(*args, **kwargs):
            result = verb(*args, **kwargs)
            status = statuses[0]
            if type(result) is tuple:
                result, status = result
            if schema is shape:
                again = RETRY if status == 503 else {}
                return answer(result, status, headers={**dict(headers), **again})
            return answer_item(shape, result, status)

        return conditional(
            describes(wrapper, responses=_documents(shape, schema, statuses))
        )

    return decorator


def answers_nothing(verb):
    """Answer 204: it is gone."""

    @wraps(verb)
    def wrapper(*args, **kwargs):
        verb(*args, **kwargs)
        response = Response(status=204)
        del response.headers["Content-Type"]
        return response

    return conditional(describes(wrapper, responses={"204": {"description": "Gone."}}))


def answers_file(media_type):
    """Answer with a download; the verb returns its name, in two parts, and its text."""

    def decorator(verb):
        @wraps(verb)
        def wrapper(*args, **kwargs):
            stem, ending, content = verb(*args, **kwargs)
            return respond(
                content.encode(),
                content_type=f"{media_type}; charset=utf-8",
                headers={"Content-Disposition": attachment(stem, ending)},
            )

        content = {media_type: {"schema": {"type": "string"}}}
        response = {
            "description": "The file.",
            "headers": carrying("ETag", "Content-Disposition"),
            "content": content,
        }
        return conditional(describes(wrapper, responses={"200": response}))

    return decorator


def attachment(stem, ending):
    """The Content-Disposition of a download called `stem` and `ending`, as `.txt`, safe
    whatever the stem holds (RFC 6266)."""
    stem = "".join(
        "_" if unicodedata.category(c)[0] == "C" or c in '/\\:*?"<>|%' else c
        for c in stem
    )
    if RESERVED_FILE.fullmatch(stem):
        stem = f"_{stem}"
    stem = stem.encode()[: LONGEST_NAME - len(ending)].decode(errors="ignore")
    safe = stem + ending
    plain = safe.encode("ascii", "replace").decode().replace("?", "_")
    header = f'attachment; filename="{plain}"'
    # RFC 8187: the real name for those who can read it.
    return header if plain == safe else f"{header}; filename*=UTF-8''{quote(safe, '')}"


def _documents(shape, schema, statuses):
    content = {JSON: {"schema": schema}}
    of_item = [] if schema is shape else ["Last-Modified"]
    return {
        str(status): {
            "description": f"{HTTPStatus(status).phrase}.",
            "headers": carrying(
                "ETag", *of_item, *["Location"] * (status in (201, 202))
            ),
            "content": content,
        }
        for status in statuses
    }


class Answer(Response):
    """A response whose headers are as they go out: nothing is looked for, to be put
    right."""

    def get_wsgi_headers(self, environ):
        return self.headers


def answer(data, status=200, version=0, modified=None, headers=(), codable=False):
    """The response with `data` as JSON and its ETag; see `respond`."""
    body = dumps(data)
    response = respond(
        body, status, version, modified, headers=headers, codable=codable
    )
    if status in (201, 202):
        response.headers["Location"] = ascii_url(data["url"])
    return response


def respond(
    body,
    status=200,
    version=0,
    modified=None,
    content_type="application/json",
    headers=(),
    codable=False,
):
    """The response with these bytes and their ETag; 304 or 412 where that is due.

    `version`: the thing's counter, which tells apart two states that look alike.
    `modified`: its naive UTC datetime, for Last-Modified. `codable`: whether it may be
    compressed; never an item, whose ETag is for If-Match.
    """
    tag = etag(body, version)
    used = coding() if codable and len(body) >= SMALLEST else None
    if used:
        tag = f"{tag}-{used}"  # another representation, another ETag
    # A shared cache must not keep what belongs to one account; the client may, and asks.
    sent = {
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization, Accept-Encoding" if codable else "Authorization",
        "ETag": f'"{tag}"',
        **dict(headers),
    }
    if request.method in ("GET", "HEAD") and precondition(tag, modified) == 304:
        response = Answer(status=304, headers=sent)
        del response.headers["Content-Type"]
        return response
    if modified:
        sent["Last-Modified"] = date_of(modified)
    if used:
        body = coded(body, used)
        sent["Content-Encoding"] = used
    return Answer(body, status, sent, content_type=content_type)


def ascii_url(url):
    """An address as it may stand in a header."""
    return url if url.isascii() else iri_to_uri(url)


# As a header has it; what changes rarely, or comes in great numbers, shares its seconds.
date_of = lru_cache(1000)(http_date)


def answer_item(model, record, status=200):
    """`answer` for one record of a model."""
    return answer(model.as_json(record), status, record.version, record.updated_at)
