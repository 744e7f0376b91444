"""The URLs of items and collections."""

from flask import current_app, g


def item_url(collection, id):
    """The absolute address of an item; outside a request, the path alone."""
    context = g._get_current_object()
    try:
        root = context.api_root
    except AttributeError:
        root = context.api_root = current_app.extensions["api_root"]()
    return f"{root}/{collection}/{id}"


def collection_url(collection):
    """The absolute address of what stands at `collection` below the prefix."""
    return item_url(collection, "").rstrip("/")


def url_of(collection):
    """The schema of an item's own address."""
    return {
        "type": "string",
        "format": "uri",
        "description": "Where this stands.",
        "examples": [f"https://api.example.com/api/v1/{collection}/7"],
    }
