"""A page of a collection: the request of a client, and the result of a model."""

from base64 import urlsafe_b64encode
from typing import Any, Generic, NamedTuple, TypeVar

from ...schema.serialization import dumps

R = TypeVar("R")


def counted(total: int | None, how: str) -> tuple[int | None, bool]:
    """Return the total to report and whether it is exact, for a kind of count: "exact",
    "capped" or "none"."""
    if how == "capped" and total is not None:
        return min(total, MOST_COUNTED), total <= MOST_COUNTED
    return total, how == "exact"


PER_PAGE = 20
MOST_PER_PAGE = 100
MOST_COUNTED = 10_000  # a total is counted up to here, which limits its cost
OWN = ("page", "per_page", "sort", "q", "view", "total", "cursor", "format")


class Place(NamedTuple):
    """The position of a page, which a link carries as a cursor.

    `values`: of the sort fields in the adjacent row, or None for the end of the collection.
    `backward`: True if the page lies before that row. `size`: of the last page, else 0.
    """

    sort: str
    values: list[Any] | None
    backward: bool
    page: int
    size: int = 0

    def as_cursor(self) -> str:
        """Return the cursor of this position."""
        return urlsafe_b64encode(dumps(list(self))).rstrip(b"=").decode()


class Page(NamedTuple):
    """The page that a client requests.

    `sort`: pairs of a field's name and whether it descends; the last field is unique.
    `words`: the text to search for. `count`: how to count the total, as for `counted`.
    `place`: where the page begins, if a cursor gives it.
    """

    number: int
    size: int
    sort: tuple[tuple[str, bool], ...]
    filters: dict[str, Any]
    words: str
    count: str  # type: ignore[assignment]  # hides tuple.count, which is not used
    place: Place | None

    @property
    def backward(self) -> bool:
        return bool(self.place and self.place.backward)

    @property
    def limit(self) -> int:
        """The largest number of items on the page."""
        return self.place.size or self.size if self.place else self.size

    @property
    def offset(self) -> int:
        """The number of items to skip; 0 if a cursor gives the position."""
        return 0 if self.place else (self.number - 1) * self.size


EVERYTHING = Page(1, 0, (("id", False),), {}, "", "none", None)


class Found(NamedTuple, Generic[R]):
    """The result of a model: the records of a page, in order.

    `more`: True if more records follow in the direction of reading. `total`: None if it was
    not requested. `exact`: True if `total` is not capped.
    """

    records: list[R]
    more: bool
    total: int | None
    exact: bool
