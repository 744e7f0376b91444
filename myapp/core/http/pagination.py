"""Pages of a collection, with links.

Links carry a cursor, the position at which a page begins or ends, so a page costs the same
however deep it lies. `page=N` works too, but the store must count past the pages before.
"""

from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from functools import wraps
from math import ceil
from typing import Any, ParamSpec
from urllib.parse import urlencode

import orjson
from flask import Response, request

from ..data.models.pages import MOST_PER_PAGE, PER_PAGE, Found, Page, Place
from ..data.models.schema_model import Described
from ..schema.fields import kinds
from ..schema.operation import carrying, describes, problem_response
from ..schema.parsing import parsed
from ..schema.serialization import dumps
from .page_schema import collection_schema, parameters_of
from .preconditions import conditional
from .query import DEEPEST, Sort, checked, chosen, one_of, positive, sort_text
from .responses import answer
from .urls import here

P = ParamSpec("P")


def paged(
    model: type[Described],
) -> Callable[[Callable[P, Found]], Callable[P, Response]]:
    """Respond with a page of `model` and its links (RFC 8288).

    The verb gets the requested Page as `page` and returns the result of the model's
    `page`. Invalid query parameters raise 400.
    """
    schema = collection_schema(model)

    def decorator(verb: Callable[..., Found]) -> Callable[..., Response]:
        @wraps(verb)
        def wrapper(*args: Any, **kwargs: Any) -> Response:
            page = asked_for(model)
            result = verb(*args, page=page, **kwargs)
            meta = meta_of(page, result)
            items = [model.as_json(record) for record in result.records]
            body: dict[str, Any] = {"items": items, "meta": meta}
            if request.args.get("view") == "urls":
                body = {"urls": [item["url"] for item in items], "meta": meta}
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
                        "description": "Not Modified.",
                        "headers": carrying("Link"),
                    },
                    "400": problem_response("A query parameter is invalid."),
                },
            )
        )

    return decorator


def asked_for(model: type[Described]) -> Page:
    """Parse the requested Page. Raises 400 with every invalid parameter."""
    with checked() as check:
        page = chosen(model, check)
        size = min(check("per_page", positive, PER_PAGE), MOST_PER_PAGE)
        count = check("total", one_of("capped", "exact", "none"), "capped")

        def parse_place(text: str) -> Place | None:
            return parse_cursor(model, page.sort, text)

        place = check("cursor", parse_place, None)
        number = check("page", positive, 1)
        check("view", one_of("items", "urls"), "items")
        return page._replace(
            number=place.page if place else number, size=size, count=count, place=place
        )


def parse_cursor(model: type[Described], sort: Sort, text: str) -> Place:
    """Parse the cursor of a link, or raise ValueError.

    A client may have changed it, so every part is validated.
    """
    try:
        padded = text + "=" * (-len(text) % 4)
        place = Place(*orjson.loads(urlsafe_b64decode(padded)))
        valid = (
            place.sort == sort_text(sort)
            and type(place.backward) is bool
            and type(place.page) is int
            and type(place.size) is int
            and 1 <= place.page <= DEEPEST
            and 0 <= place.size <= MOST_PER_PAGE
            and (place.backward if place.values is None else True)
        )
        if valid and place.values is not None:
            fields = model.read_schema["properties"]
            if len(place.values) != len(sort):
                raise ValueError
            values = [
                from_cursor(fields[name], value)
                for (name, _), value in zip(sort, place.values)
            ]
            place = place._replace(values=values)
    except (Base64Error, ValueError, TypeError, AttributeError):
        valid = False
    if not valid:
        raise ValueError("Not a cursor of this collection in this sort order.")
    return place


def from_cursor(schema: dict[str, Any], value: Any) -> Any:
    """Return a value of a cursor as the store compares it, or raise ValueError."""
    if value is None and "null" in kinds(schema):
        return None
    if "string" in kinds(schema) and type(value) is not str:
        raise ValueError
    return parsed(schema, value if type(value) is str else dumps(value).decode())


def meta_of(page: Page, result: Found) -> dict[str, Any]:
    """Return the `meta` of a page: its number, the total and the links."""
    pages = None
    if result.exact and result.total is not None:
        pages = ceil(result.total / page.size)
    sort = sort_text(page.sort)
    link = linked()

    def link_from(record: Any, backward: bool, number: int) -> str:
        values = [getattr(record, name) for name, _ in page.sort]
        return link(Place(sort, values, backward, number).as_cursor())

    records = result.records
    at_end = page.place is not None and page.backward and page.place.values is None
    if page.backward:
        has_next, has_prev = not at_end, result.more
    else:
        has_next, has_prev = result.more, page.number > 1
    last = None
    if pages and result.total is not None:
        size = result.total - (pages - 1) * page.size
        last = link(Place(sort, None, True, pages, size).as_cursor())
    prev_link = next_link = None
    if records and has_prev:
        prev_link = link_from(records[0], True, max(page.number - 1, 1))
    elif not records and page.number > 1:
        prev_link = last
    if records and has_next:
        next_link = link_from(records[-1], False, page.number + 1)
    return {
        "page": page.number,
        "per_page": page.size,
        "pages": pages,
        "total": result.total,
        "total_exact": result.exact,
        "first": link(None),
        "prev": prev_link,
        "next": next_link,
        "last": last,
    }


def linked() -> Callable[[str | None], str]:
    """Return a function that links to a cursor of this collection.

    The link has the other query parameters of the request.
    """
    others = [
        (name, value)
        for name, value in request.args.items(multi=True)
        if name not in ("page", "cursor")
    ]
    base = here(request.path)

    def link(cursor: str | None) -> str:
        query = urlencode(others + [("cursor", cursor)] if cursor else others)
        return f"{base}?{query}" if query else base

    return link
