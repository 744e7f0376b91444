"""ETags and conditional requests (RFC 9110 §13).

A strong ETag is a hash of the body and of the record's version, so it changes if and only
if the record does.
"""

from datetime import UTC
from hashlib import blake2b

from flask import current_app, request

from ..errors import Problem
from ..schema.operation import carrying, describes, problem_response
from ..schema.serialization import dumps

CONDITIONS = (
    "HTTP_IF_MATCH",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_UNMODIFIED_SINCE",
)


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
