"""The schema and the query parameters of a page."""

from typing import Any

from ...version import EXAMPLE_URL
from ..data.models.pages import MOST_COUNTED, MOST_PER_PAGE, PER_PAGE
from ..data.models.schema_model import Described
from ..schema.examples import example_of
from ..schema.fields import reading
from .query import DEEPEST, filter_parameters, query


def parameters_of(model: type[Described]) -> list[dict[str, Any]]:
    """Return the OpenAPI objects of the parameters that `asked_for` reads."""
    return [
        query("page", "Page number.", type="integer", minimum=1, maximum=DEEPEST),
        query(
            "per_page",
            f"Items per page; larger values are clamped to {MOST_PER_PAGE}.",
            type="integer",
            minimum=1,
            maximum=DEEPEST,
            default=PER_PAGE,
        ),
        query(
            "view",
            "`items` returns whole items, `urls` only their URLs.",
            type="string",
            enum=["items", "urls"],
            default="items",
        ),
        query(
            "total",
            f"How to count: up to {MOST_COUNTED:,}, exactly, or not at all.",
            type="string",
            enum=["capped", "exact", "none"],
            default="capped",
        ),
        query(
            "cursor",
            "An opaque position. Follow the links instead of building it.",
            type="string",
            pattern="^[A-Za-z0-9_-]+$",
        ),
        *filter_parameters(model),
    ]


def collection_schema(model: type[Described]) -> dict[str, Any]:
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

    meta = reading(
        "PageMeta",
        page=count("The page number.", 1),
        per_page=count("The number of items per page.", PER_PAGE),
        pages=count("The number of pages; null if they are not counted.", 1, "null"),
        total=count(
            f"The number of items, counted up to {MOST_COUNTED:,} by default.",
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
