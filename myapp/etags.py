"""Answers with their ETag, and the preconditions of RFC 9110 §13.

A strong ETag is a hash of what is sent and of the version of the thing, so it changes
when, and only when, the thing does.
"""

from datetime import UTC
from functools import lru_cache
from hashlib import blake2b

import orjson
from flask import Response, current_app, request
from werkzeug.http import http_date
from werkzeug.urls import iri_to_uri

from .compression import SMALLEST, coded, coding
from .openapi import carrying, describes, problem_response
from .problems import Problem

CONDITIONS = (
    "HTTP_IF_MATCH",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_UNMODIFIED_SINCE",
)


class Answer(Response):
    """A response whose headers are as they go out: nothing is looked for, to be put
    right."""

    def get_wsgi_headers(self, environ):
        return self.headers


def dumps(data):
    """`data` as JSON bytes; naive datetimes are UTC, written with a Z."""
    return orjson.dumps(data, option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z)


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


def etag(body, version):
    """The opaque tag, without its quotes, of these bytes in this version."""
    return blake2b(b"%d:%b" % (version, body), digest_size=12).hexdigest()


def must_match(found, model=None):
    """Go on only if the request's preconditions hold for what it is about to change.

    `found`: a record, or None where there is nothing yet; `model`: what it is shown as,
    if not as itself. Raises 412; 428 where
    REQUIRE_IF_MATCH asks for a condition and there is none.
    """
    sent = request.headers
    if current_app.config["REQUIRE_IF_MATCH"] and "If-Match" not in sent:
        if found or "If-None-Match" not in sent:
            raise Problem(428)
    if found:
        tag = etag(dumps((model or found).as_json(found)), found.version)
        precondition(tag, found.updated_at)
    elif "If-Match" in sent:
        raise Problem(412)


def precondition(tag, modified):
    """304 where the client has this already, else None (RFC 9110 §13.2.2).

    Raises 412 where a condition does not hold.
    """
    sent = request.environ
    if not any(name in sent for name in CONDITIONS):
        return None
    reads = request.method in ("GET", "HEAD")
    if "HTTP_IF_MATCH" in sent:
        if tag not in request.if_match:
            raise Problem(412)
    elif request.if_unmodified_since and modified:
        if modified.replace(tzinfo=UTC) > request.if_unmodified_since:
            raise Problem(412)
    known = sent.get("HTTP_IF_NONE_MATCH")
    if known is not None:
        # The one that we gave, mostly: then there is nothing to take apart.
        if known == f'"{tag}"' or request.if_none_match.contains_weak(tag):
            if reads:
                return 304
            raise Problem(412)
    elif reads and request.if_modified_since and modified:
        if modified.replace(tzinfo=UTC) <= request.if_modified_since:
            return 304
    return None


def conditional(verb):
    """Document the preconditions that `answer` and `must_match` hold."""

    def header(name, description, **schema):
        return {
            "name": name,
            "in": "header",
            "description": description,
            "schema": {"type": "string", **schema},
        }

    if verb.__name__ == "post":
        return verb
    told = "Go on only if this is still the ETag; `*`: if the thing is still there."
    parameters = [header("If-Match", told, examples=["*"])]
    responses = {"412": problem_response("It has changed since.")}
    if verb.__name__ == "get":
        parameters.append(header("If-None-Match", "The ETag that you have already."))
        responses["304"] = {
            "description": "You have it already.",
            "headers": carrying("ETag"),
        }
    else:
        responses["428"] = problem_response("If-Match is required here.")
    return describes(verb, parameters=parameters, responses=responses)
