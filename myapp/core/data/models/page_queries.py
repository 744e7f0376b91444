"""The queries behind a page of an SqlModel: filters, sort, search, cursor, total."""

from sqlalchemy import and_, bindparam, func, literal, or_, select, tuple_

from ..batches import in_batches
from ..session import sql
from ..statements import read
from .conditions import containing, named, shape, stand_ins
from .pages import MOST_COUNTED, Found, counted

AT_ONCE = 500  # rows of a stream that are in memory


class PageQueries:
    """A mixin for SqlModel: `page` and `stream`."""

    @classmethod
    def page(cls, page, **scope):
        filters = cls.resolved(page.filters)
        values = named("scope_", scope) | named("filter_", filters)
        if page.words:
            values["words"] = containing(page.words)
        key = (cls, shape(scope), shape(filters), bool(page.words))

        def where():
            return cls._chosen(
                stand_ins("scope_", scope),
                stand_ins("filter_", filters),
                bindparam("words") if page.words else None,
            )

        # Only for a page by its number the total is asked for first: where that lies
        # beyond the end, nothing need be counted past. Else it comes with the rows.
        total = None
        if page.offset and page.count != "none":
            total = cls._count(key, where, values, page.count)
            known, exact = counted(total, page.count)
            if exact and page.offset >= known:
                return Found([], False, known, exact)
        beyond = bool(page.place and page.place.values is not None)
        if beyond:
            values |= {f"place_{n}": v for n, v in enumerate(page.place.values)}
        key = (*key, page.sort, page.backward, beyond)
        rows = []
        for turn in range(cls._turns(page, beyond)):
            count = page.count if total is None else "none"
            part = read(
                (*key, turn, count),
                lambda: cls._part(page, scope, where(), beyond, turn, count),
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
            total = cls._count(key, where, values, page.count)
        more = len(rows) > page.limit
        rows = list(map(cls.Record._make, rows[: page.limit]))
        if page.backward:
            rows.reverse()
        return Found(rows, more, *counted(total, page.count))

    @classmethod
    def stream(cls, page, **scope):
        """All that `page` would choose, in batches of rows, from one snapshot."""
        words = containing(page.words) if page.words else None
        where = cls._chosen(scope, cls.resolved(page.filters), words)
        return in_batches(cls._sorted(page).where(*where), AT_ONCE)

    @classmethod
    def count_by(cls, field, **scope):
        """How many records in a scope have each value of `field`, as {value: number}."""

        def statement():
            column = getattr(cls, field)
            counts = select(column, func.count()).group_by(column).order_by(column)
            return counts.where(*cls.within(stand_ins("scope_", scope)))

        key = (cls, "count_by", field, shape(scope))
        return dict(read(key, statement, **named("scope_", scope)))

    @classmethod
    def _chosen(cls, scope, filters, words):
        where = cls.within(scope) + cls.within(filters)
        if words is not None:
            where.append(cls.search.like(words, escape="/"))
        return where

    @classmethod
    def _sorted(cls, page):
        statement = select(*cls.columns())
        for name, descends in page.sort:
            field = getattr(cls, name)
            downwards = descends is not page.backward
            statement = statement.order_by(field.desc() if downwards else field)
        return statement

    @classmethod
    def _index(cls, page, scope):
        """The name of the index that both finds and sorts the page, or None."""
        fields = {*page.filters, page.sort[0][0]} - {"id", "owner"}
        wanted = [*cls.scoped_by, *fields, "id"]
        if len(fields) > 1 or not scope.keys() >= set(cls.scoped_by):
            return None
        for index in cls.__table__.indexes:
            if index.columns.keys() == wanted:
                return index.name
        return None

    @classmethod
    def _count(cls, key, where, values, how):
        counting = read(
            (*key, "count", how), lambda: cls._counting(where(), how), **values
        )
        return counting[0][0]

    @classmethod
    def _counting(cls, where, how):
        """The SELECT of how many there are, up to one more than MOST_COUNTED if capped."""
        some = select(literal(1)).select_from(cls).where(*where)
        if how == "exact":
            return some.with_only_columns(func.count())
        some = some.limit(MOST_COUNTED + 1).subquery()
        return select(func.count()).select_from(some)

    @classmethod
    def _part(cls, page, scope, where, beyond, turn, count):
        """The SELECT of a page, or of the part of it that lies in one range; each row ends
        with the total, if that is to be counted."""
        statement = cls._sorted(page).where(*where)
        index = cls._index(page, scope)
        if index is not None:
            # Left to itself MariaDB finds the scope alone, and reads on from its start.
            for dialect in ("mariadb", "mysql"):
                statement = statement.with_hint(cls, f"FORCE INDEX ({index})", dialect)
        if beyond:
            statement = statement.where(cls._beyond(page)[turn])
        if count != "none":
            counting = cls._counting(where, count)
            statement = statement.add_columns(counting.scalar_subquery())
        return statement.limit(bindparam("limit")).offset(bindparam("offset"))

    @classmethod
    def _turns(cls, page, beyond):
        """How many ranges of the index are to be read in turn until the page is full."""
        ranges = beyond and sql.engine.dialect.name == "sqlite"
        return len(page.sort) if ranges else 1

    @classmethod
    def _beyond(cls, page):
        """Conditions that a row lies beyond the cursor's place, for each range of the
        index that is to be read in turn."""
        fields = [getattr(cls, name) for name, _ in page.sort]
        values = [bindparam(f"place_{n}", type_=f.type) for n, f in enumerate(fields)]
        downwards = [descends is not page.backward for _, descends in page.sort]
        dialect = sql.engine.dialect.name
        if len(set(downwards)) == 1 and dialect == "postgresql":
            # A comparison of rows is one range of the index; PostgreSQL knows that.
            row, place = tuple_(*fields), tuple_(*values)
            return [row < place if downwards[0] else row > place]
        ranges, alike = [], []
        for field, value, down in zip(fields, values, downwards):
            past = field < value if down else field > value
            ranges.insert(0, and_(*alike, past))
            alike.append(field == value)
        if dialect == "sqlite":  # it would sort what it reads from several ranges
            return ranges
        first, value = fields[0], values[0]
        bound = first <= value if downwards[0] else first >= value
        return [and_(bound, or_(*ranges))]
