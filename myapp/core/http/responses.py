"""Build responses: JSON with an ETag, no content, or a file."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache, wraps
from http import HTTPStatus
from typing import Any, ParamSpec
from urllib.parse import quote
from wsgiref.types import WSGIEnvironment

from flask import Response, request
from werkzeug.datastructures import Headers
from werkzeug.http import http_date
from werkzeug.urls import iri_to_uri

from ..data.models.schema_model import Described
from ..errors import RETRY
from ..schema.operation import carrying, describes
from ..schema.serialization import dumps
from .compression import SMALLEST, coded, coding
from .preconditions import conditional, etag, precondition
from .requests import JSON

P = ParamSpec("P")
Schema = dict[str, Any]
HeaderItems = Mapping[str, str] | Iterable[tuple[str, str]]

LONGEST_NAME = 255  # bytes of a file name
# Names that Windows reserves, with any extension.
RESERVED_FILE = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\..*)?", re.I)
NO_STORE = {"Cache-Control": "no-cache, no-store, max-age=0"}


def answers(
    shape: type[Described] | Schema, *statuses: int, headers: HeaderItems = ()
) -> Callable[[Callable[P, Any]], Callable[P, Response]]:
    """Respond with the verb's result, as its read schema defines it.

    `shape`: a model, or a read schema. `statuses`: the possible statuses, by default 200; a
    verb that chooses one returns a tuple of result and status. `headers`: additional
    response headers.
    """
    schema = shape if isinstance(shape, dict) else shape.read_schema
    statuses = statuses or (200,)

    def decorator(verb: Callable[..., Any]) -> Callable[..., Response]:
        @wraps(verb)
        def wrapper(*args: Any, **kwargs: Any) -> Response:
            result = verb(*args, **kwargs)
            status = statuses[0]
            # A record is a named tuple, so isinstance would not do.
            if type(result) is tuple:
                result, status = result
            if isinstance(shape, dict):
                retry = RETRY if status == 503 else {}
                return answer(result, status, headers={**dict(headers), **retry})
            return answer_item(shape, result, status)

        return conditional(
            describes(wrapper, responses=_documents(shape, schema, statuses))
        )

    return decorator


def answers_nothing(verb: Callable[P, Any]) -> Callable[P, Response]:
    """Respond with 204, without content."""

    @wraps(verb)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Response:
        verb(*args, **kwargs)
        response = Response(status=204)
        del response.headers["Content-Type"]
        return response

    responses = {"204": {"description": "No Content."}}
    return conditional(describes(wrapper, responses=responses))


def answers_file(
    media_type: str,
) -> Callable[[Callable[P, tuple[str, str, str]]], Callable[P, Response]]:
    """Respond with a download of this media type.

    The verb returns the stem of the file name, its extension (as `.txt`) and the text.
    """

    def decorator(
        verb: Callable[P, tuple[str, str, str]],
    ) -> Callable[P, Response]:
        @wraps(verb)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> Response:
            stem, extension, text = verb(*args, **kwargs)
            return respond(
                text.encode(),
                content_type=f"{media_type}; charset=utf-8",
                headers={"Content-Disposition": attachment(stem, extension)},
            )

        content = {media_type: {"schema": {"type": "string"}}}
        response = {
            "description": "The file.",
            "headers": carrying("ETag", "Content-Disposition"),
            "content": content,
        }
        return conditional(describes(wrapper, responses={"200": response}))

    return decorator


def attachment(stem: str, extension: str) -> str:
    """Return the Content-Disposition of a download (RFC 6266).

    `extension` begins with its dot. Characters of `stem` that are unsafe in a file name are
    replaced, and a long stem is shortened.
    """
    stem = "".join(
        "_" if unicodedata.category(c)[0] == "C" or c in '/\\:*?"<>|%' else c
        for c in stem
    )
    if RESERVED_FILE.fullmatch(stem):
        stem = f"_{stem}"
    stem = stem.encode()[: LONGEST_NAME - len(extension)].decode(errors="ignore")
    name = stem + extension
    ascii_name = name.encode("ascii", "replace").decode().replace("?", "_")
    header = f'attachment; filename="{ascii_name}"'
    if ascii_name == name:
        return header
    # RFC 8187: the real name, for clients that understand it.
    return f"{header}; filename*=UTF-8''{quote(name, '')}"


def _documents(
    shape: type[Described] | Schema, schema: Schema, statuses: tuple[int, ...]
) -> dict[str, Any]:
    content = {JSON: {"schema": schema}}
    names = ["ETag"] if schema is shape else ["ETag", "Last-Modified"]
    return {
        str(status): {
            "description": f"{HTTPStatus(status).phrase}.",
            "headers": carrying(
                *names, *(["Location"] if status in (201, 202) else [])
            ),
            "content": content,
        }
        for status in statuses
    }


class Answer(Response):
    """A response whose headers are final; skips Werkzeug's per-response fix-ups."""

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        return self.headers


def answer(
    data: Any,
    status: int = 200,
    version: int = 0,
    modified: datetime | None = None,
    headers: HeaderItems = (),
    codable: bool = False,
) -> Response:
    """Return a response with `data` as JSON and its ETag; see `respond`.

    A 201 or 202 carries `data["url"]` as its Location.
    """
    body = dumps(data)
    response = respond(
        body, status, version, modified, headers=headers, codable=codable
    )
    if status in (201, 202):
        response.headers["Location"] = ascii_url(data["url"])
    return response


def respond(
    body: bytes,
    status: int = 200,
    version: int = 0,
    modified: datetime | None = None,
    content_type: str = "application/json",
    headers: HeaderItems = (),
    codable: bool = False,
) -> Response:
    """Return a response with this body and its ETag, or 304 if the client has it already.

    `version`: the version of the resource, which distinguishes states with equal bodies.
    `modified`: its naive UTC datetime, for Last-Modified. `codable`: whether the body may
    be compressed; not for an item, whose ETag clients send back as If-Match. Raises 412 if
    a precondition of a GET or HEAD is false.
    """
    tag = etag(body, version)
    content_coding = coding() if codable and len(body) >= SMALLEST else None
    if content_coding:
        tag = f"{tag}-{content_coding}"  # each coding is a representation of its own
    # Shared caches must not store the data of one account. The client may, and revalidates.
    all_headers = {
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization, Accept-Encoding" if codable else "Authorization",
        "ETag": f'"{tag}"',
        **dict(headers),
    }
    if request.method in ("GET", "HEAD") and precondition(tag, modified) == 304:
        response = Answer(status=304, headers=all_headers)
        del response.headers["Content-Type"]
        return response
    if modified:
        all_headers["Last-Modified"] = date_of(modified)
    if content_coding:
        body = coded(body, content_coding)
        all_headers["Content-Encoding"] = content_coding
    return Answer(body, status, all_headers, content_type=content_type)


def ascii_url(url: str) -> str:
    """Return a URL as a header may carry it, in ASCII."""
    return url if url.isascii() else iri_to_uri(url)


# Formats a datetime for a header (RFC 9110 §5.6.7). Cached, because records that rarely
# change, or that are created in bulk, have equal times.
date_of = lru_cache(1000)(http_date)


def answer_item(model: type[Described], record: Any, status: int = 200) -> Response:
    """Return the response with one record of a model; see `answer`."""
    return answer(model.as_json(record), status, record.version, record.updated_at)
