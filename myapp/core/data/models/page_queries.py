"""The queries behind a page of an SqlModel: filters, sort, search, cursor, total."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sqlalchemy import Row as SqlRow
from sqlalchemy import (
    Select,
    Table,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from ..batches import in_batches
from ..session import sql
from ..statements import read
from .conditions import bind_params, bind_values, condition_key, like_pattern
from .pages import MAX_COUNTED_ROWS, Page, PageResult, capped_total
from .row import Row

STREAM_BATCH_ROWS = 500  # rows of a stream that are in memory


class PageQueries:
    """A mixin for SqlModel: `page` and `stream`."""

    if TYPE_CHECKING:
        __table__: ClassVar[Table]
        Record: ClassVar[type[Any]]
        scoped_by: ClassVar[tuple[str, ...]]
        search: Any

        @classmethod
        def columns(cls) -> list[Any]: ...

        @classmethod
        def scope_conditions(cls, scope: Mapping[str, Any]) -> list[Any]: ...

        @classmethod
        def resolve_filters(cls, filters: dict[str, Any]) -> dict[str, Any]: ...

    @classmethod
    def page(cls, page: Page, **scope: Any) -> PageResult[Row[Self]]:
        """Return the records of a page, within a scope."""
        filters = cls.resolve_filters(page.filters)
        values = bind_values("scope_", scope) | bind_values("filter_", filters)
        if page.search:
            values["words"] = like_pattern(page.search)
        key: tuple[Any, ...] = (
            cls,
            condition_key(scope),
            condition_key(filters),
            bool(page.search),
        )

        def where() -> list[Any]:
            return cls._where_clause(
                bind_params("scope_", scope),
                bind_params("filter_", filters),
                bindparam("words") if page.search else None,
            )

        # A page by its number is counted first: if it lies beyond the end, no rows need be
        # skipped. Otherwise the total comes with the rows.
        total: int | None = None
        if page.offset and page.count != "none":
            total = cls._count_rows(key, where, values, page.count)
            known, exact = capped_total(total, page.count)
            if exact and known is not None and page.offset >= known:
                return PageResult([], False, known, exact)
        place = page.cursor.values if page.cursor else None
        has_cursor = place is not None
        if place is not None:
            values |= {f"place_{n}": v for n, v in enumerate(place)}
        key = (*key, page.sort, page.backward, has_cursor)
        rows: list[Any] = []
        for turn in range(cls._keyset_range_count(page, has_cursor)):
            count = page.count if total is None else "none"
            part = read(
                (*key, turn, count),
                lambda: cls._page_select(page, scope, where(), has_cursor, turn, count),
                limit=page.limit + 1 - len(rows),
                offset=page.offset,
                **values,
            )
            if part and count != "none":
                total = part[0][-1]
                part = [row[:-1] for row in part]
            rows += part
            if len(rows) > page.limit:
                break
        if total is None and page.count != "none":
            total = cls._count_rows(key, where, values, page.count)
        more = len(rows) > page.limit
        rows = list(map(cls.Record._make, rows[: page.limit]))
        if page.backward:
            rows.reverse()
        return PageResult(rows, more, *capped_total(total, page.count))

    @classmethod
    def stream(cls, page: Page, **scope: Any) -> Iterator[Sequence[SqlRow]]:
        """Yield all records that match a page's filters, in batches, from one snapshot."""
        words = like_pattern(page.search) if page.search else None
        where = cls._where_clause(scope, cls.resolve_filters(page.filters), words)
        return in_batches(cls._sorted_select(page).where(*where), STREAM_BATCH_ROWS)

    @classmethod
    def count_by(cls, field: str, **scope: Any) -> dict[Any, int]:
        """Return the number of records in a scope by the value of a field."""

        def statement() -> Select:
            column = getattr(cls, field)
            counts = select(column, func.count()).group_by(column).order_by(column)
            return counts.where(*cls.scope_conditions(bind_params("scope_", scope)))

        key = (cls, "count_by", field, condition_key(scope))
        rows: list[Any] = read(key, statement, **bind_values("scope_", scope))
        return dict(rows)

    @classmethod
    def _where_clause(
        cls, scope: Mapping[str, Any], filters: Mapping[str, Any], words: Any
    ) -> list[Any]:
        where = cls.scope_conditions(scope) + cls.scope_conditions(filters)
        if words is not None:
            where.append(cls.search.like(words, escape="/"))
        return where

    @classmethod
    def _sorted_select(cls, page: Page) -> Select:
        statement: Select = select(*cls.columns())
        for name, descends in page.sort:
            field = getattr(cls, name)
            downwards = descends is not page.backward
            statement = statement.order_by(field.desc() if downwards else field)
        return statement

    @classmethod
    def _index(cls, page: Page, scope: Mapping[str, Any]) -> str | None:
        """Return the name of the index that both filters and sorts the page, or None."""
        fields = {*page.filters, page.sort[0][0]} - {"id", "owner"}
        columns = [*cls.scoped_by, *fields, "id"]
        if len(fields) > 1 or not scope.keys() >= set(cls.scoped_by):
            return None
        for index in cls.__table__.indexes:
            if index.columns.keys() == columns:
                return index.name
        return None

    @classmethod
    def _count_rows(
        cls,
        key: tuple[Any, ...],
        where: Callable[[], list[Any]],
        values: dict[str, Any],
        how: str,
    ) -> int:
        counting = read(
            (*key, "count", how), lambda: cls._count_select(where(), how), **values
        )
        return counting[0][0]

    @classmethod
    def _count_select(cls, where: list[Any], how: str) -> Select:
        """Return the SELECT of the total; capped, it ends one row after
        MAX_COUNTED_ROWS."""
        some: Select = select(literal(1)).select_from(cls).where(*where)
        if how == "exact":
            return some.with_only_columns(func.count())
        capped = some.limit(MAX_COUNTED_ROWS + 1).subquery()
        return select(func.count()).select_from(capped)

    @classmethod
    def _page_select(
        cls,
        page: Page,
        scope: Mapping[str, Any],
        where: list[Any],
        has_cursor: bool,
        turn: int,
        count: str,
    ) -> Select:
        """Return the SELECT of a page, or of its part in one range of the index.

        Each row ends with the total, if it is to be counted.
        """
        statement = cls._sorted_select(page).where(*where)
        index = cls._index(page, scope)
        if index is not None:
            # Without a hint, MariaDB uses the index for the scope alone, and scans it.
            for dialect in ("mariadb", "mysql"):
                statement = statement.with_hint(cls, f"FORCE INDEX ({index})", dialect)
        if has_cursor:
            statement = statement.where(cls._keyset_conditions(page)[turn])
        if count != "none":
            counting = cls._count_select(where, count)
            statement = statement.add_columns(counting.scalar_subquery())
        return statement.limit(bindparam("limit")).offset(bindparam("offset"))

    @classmethod
    def _keyset_range_count(cls, page: Page, has_cursor: bool) -> int:
        """Return the number of ranges to read in turn until the page is full."""
        ranges = has_cursor and sql.engine.dialect.name == "sqlite"
        return len(page.sort) if ranges else 1

    @classmethod
    def _keyset_conditions(cls, page: Page) -> list[Any]:
        """Return the conditions for rows beyond the cursor, one for each range of the index
        that is read in turn."""
        fields: list[Any] = [getattr(cls, name) for name, _ in page.sort]
        values = [bindparam(f"place_{n}", type_=f.type) for n, f in enumerate(fields)]
        downwards = [descends is not page.backward for _, descends in page.sort]
        dialect = sql.engine.dialect.name
        if len(set(downwards)) == 1 and dialect == "postgresql":
            # PostgreSQL reads a comparison of rows as one range of the index.
            row, place = tuple_(*fields), tuple_(*values)
            return [row < place if downwards[0] else row > place]
        ranges: list[Any] = []
        alike: list[Any] = []
        for field, value, down in zip(fields, values, downwards):
            past = field < value if down else field > value
            ranges.insert(0, and_(*alike, past))
            alike.append(field == value)
        if dialect == "sqlite":  # it would sort the rows of several ranges
            return ranges
        first, value = fields[0], values[0]
        bound = first <= value if downwards[0] else first >= value
        return [and_(bound, or_(*ranges))]
