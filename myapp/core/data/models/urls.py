"""The URLs of items and collections."""

from typing import Any

from flask import current_app, g


def item_url(collection: str, id: int | str) -> str:
    """Return the absolute URL of an item; outside a request, only its path."""
    context: Any = g
    context = context._get_current_object()
    try:
        root = context.api_root
    except AttributeError:
        root = context.api_root = current_app.extensions["api_root"]()
    return f"{root}/{collection}/{id}"


def collection_url(collection: str) -> str:
    """Return the absolute URL of a collection, of which `collection` is the path below
    API_PREFIX."""
    return item_url(collection, "").rstrip("/")


def url_schema(collection: str) -> dict[str, Any]:
    """Return the schema of an item's `url`."""
    return {
        "type": "string",
        "format": "uri",
        "description": "The URL of this resource.",
        "examples": [f"https://api.example.com/api/v1/{collection}/7"],
    }
