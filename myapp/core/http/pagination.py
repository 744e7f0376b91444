"""Collections in pages, with links.

Links carry a cursor, the place where a page begins or ends, so a page costs the same
however deep it lies. `page=N` works too, and counts its way there.
"""

from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from functools import wraps
from math import ceil
from urllib.parse import urlencode

import orjson
from flask import request

from ..data.models.pages import MOST_PER_PAGE, PER_PAGE, Place
from ..schema.fields import kinds
from ..schema.operation import carrying, describes, problem_response
from ..schema.parsing import parsed
from ..schema.serialization import dumps
from .page_schema import collection_schema, parameters_of
from .preconditions import conditional
from .query import DEEPEST, checked, chosen, one_of, positive, sort_text
from .responses import answer
from .urls import here


def paged(model):
    """Answer with a page of `model`; the verb gets a Page as `page`, returns a Found."""
    schema = collection_schema(model)

    def decorator(verb):
        @wraps(verb)
        def wrapper(*args, **kwargs):
            page = asked_for(model)
            found = verb(*args, page=page, **kwargs)
            meta = meta_of(page, found)
            items = [model.as_json(record) for record in found.records]
            if request.args.get("view") == "urls":
                body = {"urls": [item["url"] for item in items], "meta": meta}
            else:
                body = {"items": items, "meta": meta}
            response = answer(body, codable=True)
            links = [
                f'<{meta[rel]}>; rel="{rel}"'
                for rel in ("first", "prev", "next", "last")
                if meta[rel]
            ]
            response.headers["Link"] = ", ".join(links)
            return response

        return conditional(
            describes(
                wrapper,
                parameters=parameters_of(model),
                responses={
                    "200": {
                        "description": "A page.",
                        "headers": carrying("ETag", "Link"),
                        "content": {"application/json": {"schema": schema}},
                    },
                    "304": {
                        "description": "You have it already.",
                        "headers": carrying("Link"),
                    },
                    "400": problem_response("A query parameter makes no sense."),
                },
            )
        )

    return decorator


def asked_for(model):
    """The Page that the query describes. Raises 400 with every fault."""
    with checked() as check:
        choice = chosen(model, check)
        size = min(check("per_page", positive, PER_PAGE), MOST_PER_PAGE)
        count = check("total", one_of("capped", "exact", "none"), "capped")
        place = check(
            "cursor", lambda text: parse_cursor(model, choice.sort, text), None
        )
        number = check("page", positive, 1)
        check("view", one_of("items", "urls"), "items")
        return choice._replace(
            number=place.page if place else number, size=size, count=count, place=place
        )


def parse_cursor(model, sort, text):
    """The Place that a link of ours led to; it comes from outside, so nothing is taken
    on trust."""
    try:
        padded = text + "=" * (-len(text) % 4)
        place = Place(*orjson.loads(urlsafe_b64decode(padded)))
        fits = (
            place.sort == sort_text(sort)
            and type(place.backward) is bool
            and type(place.page) is int
            and type(place.size) is int
            and 1 <= place.page <= DEEPEST
            and 0 <= place.size <= MOST_PER_PAGE
            and (place.backward if place.values is None else True)
        )
        if fits and place.values is not None:
            fields = model.read_schema["properties"]
            if len(place.values) != len(sort):
                raise ValueError
            values = [
                from_cursor(fields[name], value)
                for (name, _), value in zip(sort, place.values)
            ]
            place = place._replace(values=values)
    except (Base64Error, ValueError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise ValueError("is not a cursor of this collection, sorted like this")
    return place


def from_cursor(schema, value):
    """A value out of a cursor, as the store compares it."""
    if value is None and "null" in kinds(schema):
        return None
    if "string" in kinds(schema) and type(value) is not str:
        raise ValueError
    return parsed(schema, value if type(value) is str else dumps(value).decode())


def meta_of(page, found):
    """What stands beside the items: where we are, how much there is, and the links."""
    pages = ceil(found.total / page.size) if found.exact else None
    sort = sort_text(page.sort)
    link = linked()

    def beside(record, backward, number):
        values = [getattr(record, name) for name, _ in page.sort]
        return link(Place(sort, values, backward, number).as_cursor())

    at_end = page.backward and page.place.values is None
    has_next = bool(found.records) and ((not at_end) if page.backward else found.more)
    has_prev = bool(found.records) and (
        found.more if page.backward else page.number > 1
    )
    last = None
    if pages:
        size = found.total - (pages - 1) * page.size
        last = link(Place(sort, None, True, pages, size).as_cursor())
    prev = None
    if has_prev:
        prev = beside(found.records[0], True, max(page.number - 1, 1))
    elif not found.records and page.number > 1:
        prev = last
    return {
        "page": page.number,
        "per_page": page.size,
        "pages": pages,
        "total": found.total,
        "total_exact": found.exact,
        "first": link(None),
        "prev": prev,
        "next": beside(found.records[-1], False, page.number + 1) if has_next else None,
        "last": last,
    }


def linked():
    """What makes a link of a cursor: this collection, asked for in the same way."""
    others = [
        (name, value)
        for name, value in request.args.items(multi=True)
        if name not in ("page", "cursor")
    ]
    base = here(request.path)

    def link(cursor):
        query = urlencode(others + [("cursor", cursor)] if cursor else others)
        return f"{base}?{query}" if query else base

    return link
