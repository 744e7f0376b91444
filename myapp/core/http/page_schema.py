"""The schema and the query parameters of a page."""

from typing import Any

from ...version import EXAMPLE_URL
from ..data.models.pages import DEFAULT_PAGE_SIZE, MAX_COUNTED_ROWS, MAX_PAGE_SIZE
from ..data.models.schema_model import SchemaModel
from ..schema.examples import example_of
from ..schema.fields import response_schema
from .query import MAX_PAGE_NUMBER, filter_parameters, query_parameter


def page_parameters(model: type[SchemaModel]) -> list[dict[str, Any]]:
    """Return the OpenAPI objects of the parameters that `parse_page_request` reads."""
    return [
        query_parameter(
            "page", "Page number.", type="integer", minimum=1, maximum=MAX_PAGE_NUMBER
        ),
        query_parameter(
            "per_page",
            f"Items per page; larger values are clamped to {MAX_PAGE_SIZE}.",
            type="integer",
            minimum=1,
            maximum=MAX_PAGE_NUMBER,
            default=DEFAULT_PAGE_SIZE,
        ),
        query_parameter(
            "view",
            "`items` returns whole items, `urls` only their URLs.",
            type="string",
            enum=["items", "urls"],
            default="items",
        ),
        query_parameter(
            "total",
            f"How to count: up to {MAX_COUNTED_ROWS:,}, exactly, or not at all.",
            type="string",
            enum=["capped", "exact", "none"],
            default="capped",
        ),
        query_parameter(
            "cursor",
            "An opaque position. Follow the links instead of building it.",
            type="string",
            pattern="^[A-Za-z0-9_-]+$",
        ),
        *filter_parameters(model),
    ]


def collection_schema(model: type[SchemaModel]) -> dict[str, Any]:
    """Return the read schema of a page of `model`."""

    def count(description: str, example: int, *kinds: str) -> dict[str, Any]:
        return {
            "type": ["integer", *kinds] if kinds else "integer",
            "minimum": 0,
            "description": description,
            "examples": [example],
        }

    def uri(description: str, example: str | None, *kinds: str) -> dict[str, Any]:
        return {
            "type": ["string", *kinds] if kinds else "string",
            "format": "uri",
            "description": description,
            "examples": [example],
        }

    meta = response_schema(
        "PageMeta",
        page=count("The page number.", 1),
        per_page=count("The number of items per page.", DEFAULT_PAGE_SIZE),
        pages=count("The number of pages; null if they are not counted.", 1, "null"),
        total=count(
            f"The number of items, counted up to {MAX_COUNTED_ROWS:,} by default.",
            1,
            "null",
        ),
        total_exact={"type": "boolean", "description": "Whether `total` is exact."},
        first=uri("The first page.", EXAMPLE_URL),
        prev=uri("The previous page; null if there is none.", None, "null"),
        next=uri("The next page; null if there is none.", None, "null"),
        last=uri("The last page; null if `pages` is null or 0.", EXAMPLE_URL, "null"),
    )
    items = model.read_schema
    return {
        "title": f"{model.__name__}Page",
        "type": "object",
        "properties": {
            "items": {
                "type": "array",
                "items": items,
                "description": "The items; absent with `view=urls`.",
            },
            "urls": {
                "type": "array",
                "items": items["properties"]["url"],
                "description": "The URLs of the items; present with `view=urls` only.",
            },
            "meta": {**meta, "description": "The position, the total and the links."},
        },
        "required": ["meta"],
        "additionalProperties": False,
        "examples": [{"items": [example_of(items)], "meta": example_of(meta)}],
    }
