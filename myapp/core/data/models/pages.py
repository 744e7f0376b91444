"""A page of a collection: the request of a client, and the result of a model."""

from base64 import urlsafe_b64encode
from typing import Any, Generic, NamedTuple, TypeVar

from ...schema.serialization import dumps

R = TypeVar("R")


def capped_total(total: int | None, how: str) -> tuple[int | None, bool]:
    """Return the total to report and whether it is exact, for a kind of count: "exact",
    "capped" or "none"."""
    if how == "capped" and total is not None:
        return min(total, MAX_COUNTED_ROWS), total <= MAX_COUNTED_ROWS
    return total, how == "exact"


DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 100
MAX_COUNTED_ROWS = 10_000  # a total is counted up to here, which limits its cost
RESERVED_PARAMS = ("page", "per_page", "sort", "q", "view", "total", "cursor", "format")


class Cursor(NamedTuple):
    """The position of a page, which a link carries as a cursor.

    `values`: of the sort fields in the adjacent row, or None for the end of the collection.
    `backward`: True if the page lies before that row. `size`: of the last page, else 0.
    """

    sort: str
    values: list[Any] | None
    backward: bool
    page: int
    size: int = 0

    def encode(self) -> str:
        """Return the cursor of this position."""
        return urlsafe_b64encode(dumps(list(self))).rstrip(b"=").decode()


class Page(NamedTuple):
    """The page that a client requests.

    `sort`: pairs of a field's name and whether it descends; the last field is unique.
    `search`: the text to search for. `count`: how to count the total, as for
    `capped_total`.
    `cursor`: where the page begins, if a cursor gives it.
    """

    number: int
    size: int
    sort: tuple[tuple[str, bool], ...]
    filters: dict[str, Any]
    search: str
    count: str  # type: ignore[assignment]  # hides tuple.count, which is not used
    cursor: Cursor | None

    @property
    def backward(self) -> bool:
        return bool(self.cursor and self.cursor.backward)

    @property
    def limit(self) -> int:
        """The largest number of items on the page."""
        return self.cursor.size or self.size if self.cursor else self.size

    @property
    def offset(self) -> int:
        """The number of items to skip; 0 if a cursor gives the position."""
        return 0 if self.cursor else (self.number - 1) * self.size


ALL_RECORDS = Page(1, 0, (("id", False),), {}, "", "none", None)


class PageResult(NamedTuple, Generic[R]):
    """The result of a model: the records of a page, in order.

    `has_more`: True if more records follow in the direction of reading. `total`: None if it
    was not requested. `is_exact`: True if `total` is not capped.
    """

    records: list[R]
    has_more: bool
    total: int | None
    is_exact: bool
