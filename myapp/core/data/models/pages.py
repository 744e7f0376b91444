"""A page of a collection: what a client asked for, and what a model found."""

from base64 import urlsafe_b64encode
from typing import Any, NamedTuple

from ...schema.serialization import dumps


def counted(total, how):
    """The total to tell of, and whether it is exact, if it was counted in that way."""
    if how == "capped":
        return min(total, MOST_COUNTED), total <= MOST_COUNTED
    return total, how == "exact"


PER_PAGE = 20
MOST_PER_PAGE = 100
MOST_COUNTED = 10_000  # a total is counted so far, for its price to have a ceiling
OWN = ("page", "per_page", "sort", "q", "view", "total", "cursor", "format")


class Place(NamedTuple):
    """Where a page begins; a cursor says it in a link.

    `values`: those of the sort fields next to the page, or None for the very end.
    `backward`: whether the page lies before them. `size`: of the last page, else 0.
    """

    sort: str
    values: list | None
    backward: bool
    page: int
    size: int = 0

    def as_cursor(self):
        return urlsafe_b64encode(dumps(list(self))).rstrip(b"=").decode()


class Page(NamedTuple):
    """What a client asked for.

    `sort`: pairs of field name and whether it descends; the last one is unique.
    """

    number: int
    size: int
    sort: tuple[tuple[str, bool], ...]
    filters: dict[str, Any]
    words: str
    count: str
    place: Place | None

    @property
    def backward(self):
        return bool(self.place and self.place.backward)

    @property
    def limit(self):
        """How many items the page holds at most."""
        return self.place and self.place.size or self.size

    @property
    def offset(self):
        """How many items to count past; none where a cursor leads there."""
        return 0 if self.place else (self.number - 1) * self.size


EVERYTHING = Page(1, 0, (("id", False),), {}, "", "none", None)


class Found(NamedTuple):
    """What a model answers with: records in order, and whether more lie beyond them (in
    the direction of reading). `total` is None where nobody asked."""

    records: list
    more: bool
    total: int | None
    exact: bool
