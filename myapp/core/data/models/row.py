"""Row: the type of a record to read."""

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from datetime import datetime

M = TypeVar("M", covariant=True)


class Row(Generic[M]):
    """A read-only record of the SqlModel M: a named tuple of the columns that are shown.

    This class is for annotations, as in `def report(record: Row[Book])`. At run time a
    record is an instance of `M.Record`. mypy knows its columns by `mypy_plugin`.
    """

    if TYPE_CHECKING:

        @property
        def id(self) -> int: ...

        @property
        def version(self) -> int: ...

        @property
        def created_at(self) -> datetime: ...

        @property
        def updated_at(self) -> datetime: ...

        def _asdict(self) -> dict[str, Any]: ...

        def __getattr__(self, name: str) -> Any: ...
