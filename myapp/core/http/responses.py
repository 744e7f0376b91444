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

from ..data.models.schema_model import SchemaModel
from ..errors import RETRY_HEADERS
from ..schema.operation import document_operation, header_refs
from ..schema.serialization import dumps
from .compression import MIN_COMPRESSED_BYTES, compress, negotiate_coding
from .preconditions import document_preconditions, etag, evaluate_preconditions
from .query import INVALID_QUERY, check_query
from .requests import JSON_MEDIA_TYPE

P = ParamSpec("P")
Schema = dict[str, Any]
HeaderItems = Mapping[str, str] | Iterable[tuple[str, str]]

MAX_FILE_NAME_BYTES = 255  # bytes of a file name
# Names that Windows reserves, with any extension.
WINDOWS_RESERVED_NAME = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\..*)?", re.I)
NO_STORE = {"Cache-Control": "no-cache, no-store, max-age=0"}


def responds_with(
    shape: type[SchemaModel] | Schema, *statuses: int, headers: HeaderItems = ()
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
            check_query()
            result = verb(*args, **kwargs)
            status = statuses[0]
            # A record is a named tuple, so isinstance would not do.
            if type(result) is tuple:
                result, status = result
            if isinstance(shape, dict):
                retry = RETRY_HEADERS if status == 503 else {}
                return json_response(result, status, headers={**dict(headers), **retry})
            return item_response(shape, result, status)

        return document_preconditions(
            document_operation(
                wrapper,
                responses=_document_responses(shape, schema, statuses),
                decorator="responds_with",
            )
        )

    return decorator


def responds_no_content(verb: Callable[P, Any]) -> Callable[P, Response]:
    """Respond with 204, without content."""

    @wraps(verb)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Response:
        check_query()
        verb(*args, **kwargs)
        response = Response(status=204)
        del response.headers["Content-Type"]
        return response

    responses = {"204": {"description": "No Content."}, "400": INVALID_QUERY}
    return document_preconditions(
        document_operation(
            wrapper, responses=responses, decorator="responds_no_content"
        )
    )


def responds_file(
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
            check_query()
            stem, extension, text = verb(*args, **kwargs)
            return etag_response(
                text.encode(),
                content_type=f"{media_type}; charset=utf-8",
                headers={"Content-Disposition": content_disposition(stem, extension)},
            )

        content = {media_type: {"schema": {"type": "string"}}}
        response = {
            "description": "The file.",
            "headers": header_refs("ETag", "Content-Disposition"),
            "content": content,
        }
        return document_preconditions(
            document_operation(
                wrapper,
                responses={"200": response, "400": INVALID_QUERY},
                decorator="responds_file",
            )
        )

    return decorator


def content_disposition(stem: str, extension: str) -> str:
    """Return the Content-Disposition of a download (RFC 6266).

    `extension` begins with its dot. Characters of `stem` that are unsafe in a file name are
    replaced, and a long stem is shortened.
    """
    stem = "".join(
        "_" if unicodedata.category(c)[0] == "C" or c in '/\\:*?"<>|%' else c
        for c in stem
    )
    if WINDOWS_RESERVED_NAME.fullmatch(stem):
        stem = f"_{stem}"
    stem = stem.encode()[: MAX_FILE_NAME_BYTES - len(extension)].decode(errors="ignore")
    name = stem + extension
    ascii_name = name.encode("ascii", "replace").decode().replace("?", "_")
    header = f'attachment; filename="{ascii_name}"'
    if ascii_name == name:
        return header
    # RFC 8187: the real name, for clients that understand it.
    return f"{header}; filename*=UTF-8''{quote(name, '')}"


def _document_responses(
    shape: type[SchemaModel] | Schema, schema: Schema, statuses: tuple[int, ...]
) -> dict[str, Any]:
    content = {JSON_MEDIA_TYPE: {"schema": schema}}
    names = ["ETag"] if schema is shape else ["ETag", "Last-Modified"]
    responses = {
        str(status): {
            "description": f"{HTTPStatus(status).phrase}.",
            "headers": header_refs(
                *names, *(["Location"] if status in (201, 202) else [])
            ),
            "content": content,
        }
        for status in statuses
    }
    return {**responses, "400": INVALID_QUERY}


class PreparedResponse(Response):
    """A response whose headers are final; skips Werkzeug's per-response fix-ups."""

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        return self.headers


def json_response(
    data: Any,
    status: int = 200,
    version: int = 0,
    modified: datetime | None = None,
    headers: HeaderItems = (),
    compressible: bool = False,
) -> Response:
    """Return a response with `data` as JSON and its ETag; see `etag_response`.

    A 201 or 202 carries `data["url"]` as its Location.
    """
    body = dumps(data)
    response = etag_response(
        body, status, version, modified, headers=headers, compressible=compressible
    )
    if status in (201, 202):
        response.headers["Location"] = ascii_url(data["url"])
    return response


def etag_response(
    body: bytes,
    status: int = 200,
    version: int = 0,
    modified: datetime | None = None,
    content_type: str = "application/json",
    headers: HeaderItems = (),
    compressible: bool = False,
) -> Response:
    """Return a response with this body and its ETag, or 304 if the client has it already.

    `version`: the version of the resource, which distinguishes states with equal bodies.
    `modified`: its naive UTC datetime, for Last-Modified. `compressible`: whether the body
    may be compressed; not for an item, whose ETag clients send back as If-Match. Raises 412
    if a precondition of a GET or HEAD is false.
    """
    tag = etag(body, version)
    content_coding = (
        negotiate_coding()
        if compressible and len(body) >= MIN_COMPRESSED_BYTES
        else None
    )
    if content_coding:
        tag = f"{tag}-{content_coding}"  # each coding is a representation of its own
    # Shared caches must not store the data of one account. The client may, and revalidates.
    all_headers = {
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization, Accept-Encoding" if compressible else "Authorization",
        "ETag": f'"{tag}"',
        **dict(headers),
    }
    if (
        request.method in ("GET", "HEAD")
        and evaluate_preconditions(tag, modified) == 304
    ):
        response = PreparedResponse(status=304, headers=all_headers)
        del response.headers["Content-Type"]
        return response
    if modified:
        all_headers["Last-Modified"] = format_http_date(modified)
    if content_coding:
        body = compress(body, content_coding)
        all_headers["Content-Encoding"] = content_coding
    return PreparedResponse(body, status, all_headers, content_type=content_type)


def ascii_url(url: str) -> str:
    """Return a URL as a header may carry it, in ASCII."""
    return url if url.isascii() else iri_to_uri(url)


# Formats a datetime for a header (RFC 9110 §5.6.7). Cached, because records that rarely
# change, or that are created in bulk, have equal times.
format_http_date = lru_cache(1000)(http_date)


def item_response(model: type[SchemaModel], record: Any, status: int = 200) -> Response:
    """Return the response with one record of a model; see `json_response`."""
    return json_response(
        model.as_json(record), status, record.version, record.updated_at
    )
