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

from ..data.models.pages import (
    DEFAULT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    Cursor,
    Page,
    PageResult,
)
from ..data.models.schema_model import SchemaModel
from ..schema.fields import json_types
from ..schema.operation import document_operation, header_refs
from ..schema.parsing import parse_value
from ..schema.serialization import dumps
from .page_schema import collection_schema, page_parameters
from .preconditions import document_preconditions
from .query import (
    INVALID_QUERY,
    MAX_PAGE_NUMBER,
    Sort,
    collect_query_errors,
    format_sort,
    one_of,
    parse_positive,
    parse_selection,
)
from .responses import json_response
from .urls import absolute_url

P = ParamSpec("P")


def paginated(
    model: type[SchemaModel],
) -> Callable[[Callable[P, PageResult]], Callable[P, Response]]:
    """Respond with a page of `model` and its links (RFC 8288).

    The verb gets the requested Page as `page` and returns the result of the model's
    `page`. Invalid query parameters raise 400.
    """
    schema = collection_schema(model)

    def decorator(verb: Callable[..., PageResult]) -> Callable[..., Response]:
        @wraps(verb)
        def wrapper(*args: Any, **kwargs: Any) -> Response:
            page = parse_page_request(model)
            result = verb(*args, page=page, **kwargs)
            meta = page_meta(page, result)
            items = [model.as_json(record) for record in result.records]
            body: dict[str, Any] = {"items": items, "meta": meta}
            if request.args.get("view") == "urls":
                body = {"urls": [item["url"] for item in items], "meta": meta}
            response = json_response(body, compressible=True)
            links = [
                f'<{meta[rel]}>; rel="{rel}"'
                for rel in ("first", "prev", "next", "last")
                if meta[rel]
            ]
            response.headers["Link"] = ", ".join(links)
            return response

        return document_preconditions(
            document_operation(
                wrapper,
                decorator="paginated",
                parameters=page_parameters(model),
                responses={
                    "200": {
                        "description": "A page.",
                        "headers": header_refs("ETag", "Link"),
                        "content": {"application/json": {"schema": schema}},
                    },
                    "304": {
                        "description": "Not Modified.",
                        "headers": header_refs("Link"),
                    },
                    "400": INVALID_QUERY,
                },
            )
        )

    return decorator


def parse_page_request(model: type[SchemaModel]) -> Page:
    """Parse the requested Page. Raises 400 with every invalid parameter."""
    with collect_query_errors() as check:
        page = parse_selection(model, check)
        size = min(check("per_page", parse_positive, DEFAULT_PAGE_SIZE), MAX_PAGE_SIZE)
        count = check("total", one_of("capped", "exact", "none"), "capped")

        def parse_place(text: str) -> Cursor | None:
            return parse_cursor(model, page.sort, text)

        cursor = check("cursor", parse_place, None)
        number = check("page", parse_positive, 1)
        check("view", one_of("items", "urls"), "items")
        return page._replace(
            number=cursor.page if cursor else number,
            size=size,
            count=count,
            cursor=cursor,
        )


def parse_cursor(model: type[SchemaModel], sort: Sort, text: str) -> Cursor:
    """Parse the cursor of a link, or raise ValueError.

    A client may have changed it, so every part is validated.
    """
    try:
        padded = text + "=" * (-len(text) % 4)
        cursor = Cursor(*orjson.loads(urlsafe_b64decode(padded)))
        valid = (
            cursor.sort == format_sort(sort)
            and type(cursor.backward) is bool
            and type(cursor.page) is int
            and type(cursor.size) is int
            and 1 <= cursor.page <= MAX_PAGE_NUMBER
            and 0 <= cursor.size <= MAX_PAGE_SIZE
            and (cursor.backward if cursor.values is None else True)
        )
        if valid and cursor.values is not None:
            fields = model.read_schema["properties"]
            if len(cursor.values) != len(sort):
                raise ValueError
            values = [
                parse_cursor_value(fields[name], value)
                for (name, _), value in zip(sort, cursor.values)
            ]
            cursor = cursor._replace(values=values)
    except (Base64Error, ValueError, TypeError, AttributeError):
        valid = False
    if not valid:
        raise ValueError("Not a cursor of this collection in this sort order.")
    return cursor


def parse_cursor_value(schema: dict[str, Any], value: Any) -> Any:
    """Return a value of a cursor as the store compares it, or raise ValueError."""
    if value is None and "null" in json_types(schema):
        return None
    if "string" in json_types(schema) and type(value) is not str:
        raise ValueError
    return parse_value(schema, value if type(value) is str else dumps(value).decode())


def page_meta(page: Page, result: PageResult) -> dict[str, Any]:
    """Return the `meta` of a page: its number, the total and the links."""
    pages = None
    if result.is_exact and result.total is not None:
        pages = ceil(result.total / page.size)
    sort = format_sort(page.sort)
    link = link_builder()

    def link_from(record: Any, backward: bool, number: int) -> str:
        values = [getattr(record, name) for name, _ in page.sort]
        return link(Cursor(sort, values, backward, number).encode())

    records = result.records
    at_end = page.cursor is not None and page.backward and page.cursor.values is None
    if page.backward:
        has_next, has_prev = not at_end, result.has_more
    else:
        has_next, has_prev = result.has_more, page.number > 1
    last = None
    if pages and result.total is not None:
        size = result.total - (pages - 1) * page.size
        last = link(Cursor(sort, None, True, pages, size).encode())
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
        "total_exact": result.is_exact,
        "first": link(None),
        "prev": prev_link,
        "next": next_link,
        "last": last,
    }


def link_builder() -> Callable[[str | None], str]:
    """Return a function that links to a cursor of this collection.

    The link has the other query parameters of the request.
    """
    others = [
        (name, value)
        for name, value in request.args.items(multi=True)
        if name not in ("page", "cursor")
    ]
    base = absolute_url(request.path)

    def link(cursor: str | None) -> str:
        query = urlencode(others + [("cursor", cursor)] if cursor else others)
        return f"{base}?{query}" if query else base

    return link
