"""The schema and the query parameters of a page."""

from ...version import EXAMPLE_URL
from ..data.models.pages import MOST_COUNTED, MOST_PER_PAGE, PER_PAGE
from ..schema.examples import example_of
from ..schema.fields import reading
from .query import DEEPEST, filter_parameters, query


def parameters_of(model):
    """What `asked_for` reads for a page."""
    return [
        query("page", "Which page.", type="integer", minimum=1, maximum=DEEPEST),
        query(
            "per_page",
            f"Items on a page; more than {MOST_PER_PAGE} is clamped to that.",
            type="integer",
            minimum=1,
            maximum=DEEPEST,
            default=PER_PAGE,
        ),
        query(
            "view",
            "`urls`: only where the items are.",
            type="string",
            enum=["items", "urls"],
            default="items",
        ),
        query(
            "total",
            f"How to count: up to {MOST_COUNTED:,}, wholly, or not at all.",
            type="string",
            enum=["capped", "exact", "none"],
            default="capped",
        ),
        query(
            "cursor",
            "Stands in links; follow them.",
            type="string",
            pattern="^[A-Za-z0-9_-]+$",
        ),
        *filter_parameters(model),
    ]


def collection_schema(model):
    """The read schema of a page of `model`."""

    def count(description, example, *kinds):
        kind = ["integer", *kinds] if kinds else "integer"
        told = {"description": description, "examples": [example]}
        return {"type": kind, "minimum": 0, **told}

    def uri(description, example, *kinds):
        kind = ["string", *kinds] if kinds else "string"
        told = {"description": description, "examples": [example]}
        return {"type": kind, "format": "uri", **told}

    meta = reading(
        "PageMeta",
        page=count("Which page this is.", 1),
        per_page=count("How many items a page holds.", PER_PAGE),
        pages=count("How many pages there are; null where nobody counted.", 1, "null"),
        total=count(f"How many items, counted to {MOST_COUNTED:,}.", 1, "null"),
        total_exact={"type": "boolean", "description": "Whether there are no more."},
        first=uri("The first page.", EXAMPLE_URL),
        prev=uri("The page before.", None, "null"),
        next=uri("The page after.", None, "null"),
        last=uri(
            "The last page; null where nobody counted the pages.", EXAMPLE_URL, "null"
        ),
    )
    items = model.read_schema
    return {
        "title": f"{model.__name__}Page",
        "type": "object",
        "properties": {
            "items": {
                "type": "array",
                "items": items,
                "description": "The items; with `view=urls` there are `urls` instead.",
            },
            "urls": {
                "type": "array",
                "items": items["properties"]["url"],
                "description": "Where the items are.",
            },
            "meta": {**meta, "description": "Where this page stands."},
        },
        "required": ["meta"],
        "additionalProperties": False,
        "examples": [{"items": [example_of(items)], "meta": example_of(meta)}],
    }
