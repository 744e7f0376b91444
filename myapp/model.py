"""The model protocol, in two forms: SqlModel and RedisModel.

Both know the same words, so an endpoint need not know which one it talks to:

    get_or_404(id, **scope)   a record to read
    lock_or_404(id, **scope)  a record to change; nobody changes it in between
    create(**values)          a new record, to read
    page(page, **scope)       a Found: the records of a page
    as_json(record)           what a client reads, by `read_schema`
    record.update(**values)   change it
    record.delete()           be rid of it

A scope is what a record must be equal in, as `owner_id=5`. A slice says `write_schema`,
`sortable`, and its name as `__tablename__` or `keyspace`; the rest follows from these.
"""

import re
import time
import unicodedata
from collections import namedtuple
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from operator import attrgetter

import orjson
from flask import abort, current_app, g, has_request_context
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    and_,
    bindparam,
    column,
    event,
    false,
    func,
    literal,
    or_,
    select,
    table,
    tuple_,
)
from sqlalchemy.dialects.mysql import DATETIME, MEDIUMTEXT
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import column_property, declared_attr

from .db import Changed, in_batches, redis_store, sql, unit_of_work
from .etags import dumps
from .openapi import REFERS
from .paging import MOST_COUNTED, OWN, Found, here
from .problems import Problem, fault
from .statements import filled, insert_all, parameters, read, write
from .schema import BIGGEST, NEVER, TIMES, Body, integer, kinds, moment, reading
from .schema import reference, text

KEY = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER counts up there
MOMENT = DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
# MariaDB keeps 65,535 bytes of text; when folded, a character may become 33.
SEARCHED = Text().with_variant(MEDIUMTEXT, "mysql", "mariadb")
MOST_SEARCHED = 65_535 // 33  # characters that fit without
USERS = table("users", column("id", KEY), column("username"))  # whose slice knows this

ONCE = 24 * 3600  # seconds for which an Idempotency-Key is known
AT_ONCE = 500  # rows of a stream that are in memory
LONGEST_INDEXED = 255  # characters of a text that an index of every database takes
REMEMBERED = 3600  # seconds for which an index knows what has expired, for a late sweep
ID = integer(1, BIGGEST, "Never given twice.", 7)
OWNER = text(1, 64, "The account that this belongs to.", "pythonista")
CREATED_AT = moment("When it came.")
UPDATED_AT = moment("When it last changed.")


def now():
    """This second, as a naive UTC datetime."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def folded(*texts):
    """Text made alike for a search without regard to case or Unicode form."""
    text = "\n".join(filter(None, texts))
    if text.isascii():
        return text.lower()  # the same, in a tenth of the time
    return unicodedata.normalize("NFKC", text).casefold()


def containing(words):
    """The pattern of LIKE, with slashes to escape by, for text that contains the words."""
    return "%" + re.sub("[/%_]", r"/\g<0>", folded(words)) + "%"


# Of conditions, name by name: what tells them apart when compiled, bound parameters in
# the place of their values, and the values for these. A tuple is part of the statement.


def shape(conditions):
    return tuple(
        (name, value if type(value) is tuple else value is None)
        for name, value in conditions.items()
    )


def stand_ins(prefix, conditions):
    return {
        name: (
            value if value is None or type(value) is tuple else bindparam(prefix + name)
        )
        for name, value in conditions.items()
    }


def named(prefix, conditions):
    return {
        prefix + name: value
        for name, value in conditions.items()
        if value is not None and type(value) is not tuple
    }


def item_url(collection, id):
    """The absolute address of an item; outside a request, the path alone."""
    ours = g._get_current_object()
    try:
        items_at = ours.items_at
    except AttributeError:
        prefix = current_app.config["API_PREFIX"]
        items_at = here(prefix).rstrip("/") if has_request_context() else prefix
        ours.items_at = items_at
    return f"{items_at}/{collection}/{id}"


def spoken(model):
    """What a model's things are called, one of them: `smart lock` for SmartLock."""
    return re.sub(r"(?<=.)(?=[A-Z])", " ", model.__name__).lower()


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


def counted(total, how):
    """The total to tell of, and whether it is exact, if it was counted in that way."""
    if how == "capped":
        return min(total, MOST_COUNTED), total <= MOST_COUNTED
    return total, how == "exact"


class Described:
    """What both forms draw from `write_schema`.

    `read_schema`: what is written, with url, id, owner (where there is one) and times.
    `filters`: the properties that a query may filter by, with their schemas.
    """

    collection = None  # the address below the prefix; by default the table's name
    sortable = ("id",)
    read_only = {}  # more properties that a client reads and does not write
    write_only = ()  # names of those that it writes and never reads
    computed = ()  # names of those that `as_json` adds to what is stored
    unfiltered = ()  # names of those that no query may filter by
    texts = None  # names of those that `q` looks through; by default all that are text

    @classmethod
    def describe(cls):
        cls.body = Body(cls.write_schema)
        cls.read_schema = reading(
            cls.__name__,
            url=url_of(cls.collection),
            id=ID,
            **{
                name: {k: v for k, v in schema.items() if k != "default"}
                for name, schema in cls.write_schema["properties"].items()
                if name not in cls.write_only
            },
            **cls.read_only,
            created_at=CREATED_AT,
            updated_at=UPDATED_AT,
        )
        cls.shown = tuple(
            name
            for name in cls.read_schema["properties"]
            if name not in ("url", *cls.computed)
        )
        cls.filters = {
            name: schema
            for name, schema in cls.read_schema["properties"].items()
            if name in cls.shown
            and name not in cls.unfiltered
            and not {"object", "array"} & set(kinds(schema))
        }
        cls.texts = cls.texts or tuple(
            name
            for name, schema in cls.write_schema["properties"].items()
            if "string" in kinds(schema)
            and "format" not in schema
            and name not in cls.write_only
        )
        cls._names = ("url", *cls.shown)
        cls._values = attrgetter(*cls.shown)
        unknown = set(cls.sortable) - set(indexable(cls.filters))
        clash = set(cls.filters) & set(OWN)
        if unknown or clash:
            raise TypeError(
                f"{cls.__name__} cannot sort or filter by {unknown | clash}"
            )

    @classmethod
    def as_json(cls, record):
        """What a client reads; `record` is an instance, or a row of its columns."""
        url = item_url(cls.collection, record.id)
        values = record if isinstance(record, tuple) else cls._values(record)
        return dict(zip(cls._names, (url, *values)))


class SqlModel(Described, sql.Model):
    """A model in the SQL database: a column for each property of `write_schema`.

    Reading selects rows of just the columns that are shown; `lock_or_404` loads an
    instance.

    `references`: {name: model} of the properties that are the id of another thing, which
    must be there and, where things of both have owners, have the same one. A reference that
    is optional is emptied when that thing goes; a required one takes this along.
    `unique`: names of the properties that no two things may have alike, of those that are
    of one owner or hang below one thing, else of all.
    """

    __abstract__ = True

    references = {}
    unique = ()
    scoped_by = ()  # names of the columns that every page is within one value of
    hidden = ("version",)  # what reading selects beside what is shown

    id = Column(KEY, primary_key=True)
    version = Column(Integer, nullable=False, default=1)
    created_at = Column(MOMENT, nullable=False, default=now)
    updated_at = Column(MOMENT, nullable=False, default=now, onupdate=now)

    @declared_attr
    def search(cls):
        fields = cls.write_schema["properties"]
        length = sum(fields[name].get("maxLength", 0) for name in cls.texts)
        kind = Text if length <= MOST_SEARCHED else SEARCHED
        return Column(kind, nullable=False, default="")

    @declared_attr.directive
    def __mapper_args__(cls):
        return {"version_id_col": cls.version}

    @declared_attr.directive
    def __table_args__(cls):
        # The scope comes first in each, for a page is within it, and the id last, for
        # ties go by it; so an index serves both to find and to sort.
        names = [dict.fromkeys((name, "id")) for name in cls.indexed()]
        orders = [(*cls.scoped_by, *fields) for fields in names]
        return (
            *(Index(None, *order) for order in orders if order != ("id",)),
            *(UniqueConstraint(*cls.scoped_by, name) for name in cls.unique),
            {
                "sqlite_autoincrement": True,  # an id never comes back after a deletion
                "mysql_charset": "utf8mb4",
                "mysql_collate": "utf8mb4_nopad_bin",
            },
        )

    def __init_subclass__(cls, **kwargs):
        if not cls.__dict__.get("__abstract__"):
            cls.collection = cls.collection or cls.__tablename__
            for name, other in cls.references.items():
                cls.write_schema["properties"][name][REFERS] = other.collection
            cls.describe()
            for name, schema in cls.write_schema["properties"].items():
                if name in cls.write_only or name in cls.__dict__:
                    continue
                if hasattr(cls, name):
                    raise TypeError(
                        f"{cls.__name__}.{name} is taken: name it otherwise"
                    )
                other = cls.references.get(name)
                made = reference_to(other, schema) if other else column_for(schema)
                setattr(cls, name, made)
                if other and "null" in kinds(schema):
                    event.listen(other, "before_delete", cls._letting_go(name))
            cls.Record = namedtuple("Record", (*cls.shown, *cls.hidden))
        super().__init_subclass__(**kwargs)

    @classmethod
    def columns(cls):
        """What reading selects."""
        return [getattr(cls, name) for name in (*cls.shown, *cls.hidden)]

    @classmethod
    def indexed(cls):
        """Names of the fields that an index serves."""
        return cls.sortable

    @classmethod
    def within(cls, scope):
        """The conditions of a scope."""
        return [getattr(cls, name) == value for name, value in scope.items()]

    @classmethod
    def resolved(cls, filters):
        """The filters as `within` takes them."""
        return filters

    @classmethod
    def get_or_404(cls, id, **scope):
        def one():
            conditions = cls.within(stand_ins("scope_", scope))
            return select(*cls.columns()).where(cls.id == bindparam("id"), *conditions)

        rows = read((cls, "one", shape(scope)), one, id=id, **named("scope_", scope))
        return cls.Record._make(rows[0]) if rows else abort(404)

    @classmethod
    def lock_or_404(cls, id, **scope):
        statement = select(cls).where(cls.id == id, *cls.within(scope))
        statement = statement.with_for_update(of=cls)
        return sql.session.scalars(statement).first() or abort(404)

    @classmethod
    def is_there(cls, id, **scope):
        """Whether there is such a record; it stays until this transaction ends."""
        found = select(cls.id).where(cls.id == id, *cls.within(scope))
        held = found.with_for_update(read=True, key_share=True)
        return sql.session.execute(held).first() is not None

    @classmethod
    def create(cls, **values):
        """A new record, to read. Among `values` may be what is shown and is no column.
        Raises 422 where a reference leads nowhere, 409 where what is unique is taken.
        """
        cls._must_refer(values, values.get("owner_id"))
        values = cls._made() | values
        values["search"] = folded(*(values[name] for name in cls.texts))
        columns = cls.__table__.columns
        row = {name: value for name, value in values.items() if name in columns}

        def insert():
            new = sql.insert(cls.__table__).values(parameters(row))
            return new.returning(cls.id)

        with cls._taken():
            ((id,),) = write((cls, "create", *row), insert, **filled(row))
        return cls.Record._make(map({**values, "id": id}.get, cls.Record._fields))

    @classmethod
    def _made(cls):
        """What the columns of a new record hold where nothing is said."""
        defaults = cls._defaults().items()
        return {name: d(None) if callable(d) else d for name, d in defaults}

    @classmethod
    @cache
    def _defaults(cls):
        """What a column holds where nothing is said, or what makes it."""
        columns = cls.__table__.columns
        return {column.key: column.default.arg for column in columns if column.default}

    @classmethod
    def create_many(cls, bodies, **values):
        """New records from an iterable of bodies, all with the same `values` beside."""
        alike = {**cls._made(), **values}
        del alike["search"]
        written = [name for name in cls.write_schema["properties"] if name not in alike]
        rows = [
            (*(body[n] for n in written), folded(*(body[n] for n in cls.texts)))
            for body in bodies
        ]
        insert_all(cls.__table__, (*written, "search"), rows, alike)

    def update(self, **values):
        """Change it. Raises 422 and 409 as `create` does."""
        # Who deletes a thing waits for what refers to it: never the other way round.
        others = {n: v for n, v in values.items() if v != getattr(self, n)}
        self._must_refer(others, getattr(self, "owner_id", None))
        for name, value in values.items():
            setattr(self, name, value)
        self.search = self.searchable()
        with self._taken():
            sql.session.flush()
        return self

    @classmethod
    def _must_refer(cls, values, owner_id):
        faults = []
        for name in cls.references.keys() & values.keys():
            other, id = cls.references[name], values[name]
            scope = {"owner_id": owner_id} if issubclass(other, Owned) else {}
            if id is not None and not other.is_there(id, **scope):
                faults.append(fault(f"/{name}", f"there is no such {spoken(other)}"))
        if faults:
            raise Problem(422, errors=faults)

    @classmethod
    @contextmanager
    def _taken(cls):
        """What writes something that may be taken; the database decides, and names the
        index or the columns."""
        try:
            yield
        except IntegrityError as error:
            said, table = str(error.orig), cls.__tablename__
            for name in cls.unique:
                index = "_".join(("uq", table, *cls.scoped_by, name))
                if re.search(rf"\b({index}|{table}[.]{name})\b", said):
                    raise Problem(409, f"The {name} is taken.") from None
            raise

    @classmethod
    def _letting_go(cls, name):
        """What a thing does, before it goes, to those that refer to it by `name`. The
        foreign key would empty it, but not say when they changed."""

        def let_go(_mapper, connection, other):
            about = sql.update(cls).where(getattr(cls, name) == other.id)
            connection.execute(about.values({name: None}))

        return let_go

    def delete(self):
        sql.session.delete(self)
        sql.session.flush()

    def searchable(self):
        """The text that `q` looks through."""
        return folded(*(getattr(self, name) for name in self.texts))

    @classmethod
    def search_anew(cls):
        """Make that of every record anew, AT_ONCE of them in a unit of work; returns how
        many differed. Nobody sees a change of the record."""
        total, last, records = 0, 0, True
        while records:
            with unit_of_work():
                some = select(cls).where(cls.id > last).order_by(cls.id).limit(AT_ONCE)
                records = sql.session.scalars(some.with_for_update()).all()
                for record in records:
                    text, last = record.searchable(), record.id
                    if record.search != text:
                        this = sql.update(cls.__table__).where(cls.id == record.id)
                        same = {"updated_at": record.updated_at, "search": text}
                        sql.session.execute(this.values(same))
                        total += 1
                sql.session.expunge_all()
        return total

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


class EndlessMoment(TypeDecorator):
    """A time that need not be: without one it is NEVER, which sorts last on every
    database, and which a cursor can point beyond."""

    impl = MOMENT
    cache_ok = True

    def process_bind_param(self, value, dialect):
        return NEVER if value is None else value

    def process_result_value(self, value, dialect):
        return None if value == NEVER else value


FORMS = {"integer": BigInteger, "number": Double, "boolean": Boolean, "array": JSON}


def indexable(properties):
    """The names of those that an index of every database can hold."""
    return [
        name
        for name, schema in properties.items()
        if schema.get("maxLength", 0) <= LONGEST_INDEXED
    ]


def reference_to(model, schema):
    """The column of a reference to things of `model`."""
    optional = "null" in kinds(schema)
    key = ForeignKey(model.id, ondelete="SET NULL" if optional else "CASCADE")
    return Column(KEY, key, nullable=optional, index=True)


def column_for(schema):
    """The column that keeps a property of this schema."""
    kind = next(kind for kind in kinds(schema) if kind != "null")
    if kind == "string":
        if schema.get("format") == "date-time":
            endless = "null" in kinds(schema)
            return Column(EndlessMoment if endless else MOMENT, nullable=False)
        if schema.get("format") == "date":
            form = Date
        elif schema["maxLength"] > LONGEST_INDEXED:
            form = Text
        else:
            longest = schema["maxLength"]
            # Names are compared by their characters, whatever the server's locale.
            form = String(longest).with_variant(
                String(longest, collation="C"), "postgresql"
            )
    else:
        form = FORMS[kind]
    return Column(form, nullable="null" in kinds(schema))


class Governed:
    """A mixin for a model whose records have an `owner_id`: they are for that account, and
    for whoever has the permission."""

    # Whose permissions open everybody's; by default the collection's.
    governed_by = None

    @classmethod
    def readable(cls):
        """The scope of what the caller may read."""
        return cls._scope("read_all")

    @classmethod
    def writable(cls):
        """The scope of what the caller may change."""
        return cls._scope("write_all")

    @classmethod
    def _scope(cls, permission):
        permission = f"{cls.governed_by or cls.collection}:{permission}"
        everything = permission in g.caller.permissions
        return {} if everything else {"owner_id": g.caller.id}


class Owned(Governed):
    """A mixin for an SqlModel whose records belong to an account each."""

    read_only = {"owner": OWNER}
    hidden = ("version", "owner_id")
    scoped_by = ("owner_id",)

    @declared_attr
    def owner_id(cls):
        return Column(KEY, ForeignKey("users.id", ondelete="CASCADE"), nullable=False)

    @declared_attr
    def owner(cls):
        name = select(USERS.c.username).where(USERS.c.id == cls.owner_id)
        return column_property(name.scalar_subquery())

    @classmethod
    def indexed(cls):
        """Names of the fields that an index serves: whatever a filter may name, but for
        long texts."""
        return [name for name in indexable(cls.filters) if name != "owner"]

    @classmethod
    def within(cls, scope):
        """The conditions of a scope; `owner` as `resolved` has it."""
        others = {name: value for name, value in scope.items() if name != "owner"}
        where = super().within(others)
        if "owner" in scope:
            where.append(or_(false(), *(cls.owner_id == id for id in scope["owner"])))
        return where

    @classmethod
    def resolved(cls, filters):
        """The filters, with the ids of all accounts that have the owner's name, or had it
        when they went. An id is a range of an index, a sub-select is not."""
        if "owner" not in filters:
            return filters
        owners = read(
            "owners",
            lambda: select(USERS.c.id).where(USERS.c.username == bindparam("name")),
            name=filters["owner"],
        )
        return filters | {"owner": tuple(id for (id,) in owners)}

    @classmethod
    def create(cls, owner_id, **values):
        caller = g.get("caller")
        if caller and caller.id == owner_id:
            owner = caller.username  # no need to look
        else:
            found = read(
                "owner",
                lambda: select(USERS.c.username).where(USERS.c.id == bindparam("id")),
                id=owner_id,
            )
            owner = found[0][0] if found else None  # whom the foreign key refuses
        return super().create(owner_id=owner_id, owner=owner, **values)


class Below:
    """A mixin for an SqlModel whose records hang below a thing of another model each, and
    go with it: they are for whoever may read or change that.

    `parent`: that model. A record shows which one it hangs below as `above`, by default
    what the parent's things are called, as `smart_lock`.
    """

    parent = None

    def __init_subclass__(cls, **kwargs):
        cls.above = above = spoken(cls.parent).replace(" ", "_")
        cls.scoped_by = cls.unfiltered = (above,)
        cls.read_only = {
            above: reference(f"The {spoken(cls.parent)} that it belongs to.")
        }
        key = ForeignKey(cls.parent.id, ondelete="CASCADE")
        setattr(cls, above, Column(KEY, key, nullable=False))
        super().__init_subclass__(**kwargs)

    @classmethod
    def indexed(cls):
        """Names of the fields that an index serves, as in `Owned`."""
        return indexable(cls.filters)

    @classmethod
    def as_json(cls, record):
        above = getattr(record, cls.above)
        collection = f"{cls.parent.collection}/{above}/{cls.collection}"
        return super().as_json(record) | {"url": item_url(collection, record.id)}

    @classmethod
    def readable(cls, id):
        """The scope of what hangs below the thing `id`. Raises 404 where the caller may not
        read that."""
        scope = cls.parent.readable() if issubclass(cls.parent, Owned) else {}
        return {cls.above: cls.parent.get_or_404(id, **scope).id}

    @classmethod
    def writable(cls, id):
        """The same, where they may change it; it stays until this transaction ends."""
        scope = cls.parent.writable() if issubclass(cls.parent, Owned) else {}
        return {cls.above: id} if cls.parent.is_there(id, **scope) else abort(404)


class RedisModel(Described):
    """A model in Redis: records that live for `ttl()` seconds after their last change.

    A record is a string of JSON below its id. Beside it stands an index for each scope in
    `scopes`: a sorted set of ids, by the second in which they expire, so that what has
    expired can be dropped from it at any time without a race. Every change does so with
    what expired more than REMEMBERED seconds ago; whoever reads passes over the rest.
    """

    scopes = ((),)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.collection = cls.keyspace
        cls.describe()
        cls._kept = {"id", "version", "created_at", "updated_at", "expires_at"}
        cls._kept.update(cls.write_schema["properties"], *cls.scopes)

    def __init__(self, **values):
        self.__dict__.update(values)

    @classmethod
    def ttl(cls):
        """Seconds that a record lives."""
        raise NotImplementedError

    @classmethod
    def get(cls, id, **scope):
        """The record, or None."""
        return cls._loaded(redis_store.get(cls._key(id)), scope)

    @classmethod
    def get_or_404(cls, id, **scope):
        return cls.get(id, **scope) or abort(404)

    # Nothing is held: a change goes through only if the record is still as it was read.
    lock_or_404 = get_or_404

    @classmethod
    def create(cls, **values):
        """A new record; without an `id` among the values it gets the next one."""
        stored = b""
        if "id" not in values:
            values["id"], stored = cls._next()
        record = cls(created_at=now(), **values)
        record._stored = stored
        return record._store()

    @classmethod
    def _next(cls):
        """The id of a new record, and what stands there: something where a request that
        came before with the same Idempotency-Key died before its end."""
        key, once = cls._key("last"), g.get("once")
        if once is None:
            return redis_store.incr(key), b""
        id = redis_store.eval(NEXT, 2, key, cls._key(f"once:{once}"), ONCE)
        return id, redis_store.get(cls._key(id)) or b""

    def update(self, **values):
        self.__dict__.update(values)
        return self._store()

    def delete(self):
        self._swap(b"")

    @classmethod
    def page(cls, page, **scope):
        ids = cls._living(scope)
        if page.filters or page.words:
            ids = [record.id for record in cls._load(ids) if cls._fits(record, page)]
        total = None if page.count == "none" else len(ids)
        downwards = page.sort[0][1] is not page.backward
        if page.place and page.place.values is not None:
            place = page.place.values[0]
            ids = [id for id in ids if (id < place if downwards else id > place)]
        ids = (ids[::-1] if downwards else ids)[page.offset :]
        records = cls._load(ids[: page.limit])
        if page.backward:
            records.reverse()
        return Found(records, len(ids) > page.limit, total, total is not None)

    def searchable(self):
        """The text that `q` looks through."""
        return folded(*(getattr(self, name) for name in self.texts))

    @classmethod
    def _fits(cls, record, page):
        return folded(page.words) in record.searchable() and all(
            getattr(record, name) == value for name, value in page.filters.items()
        )

    @classmethod
    def _key(cls, id):
        # In braces is what a Redis Cluster goes by: all keys of a model in one place, for
        # a record and its indexes change in one step.
        return f"{{{cls.keyspace}}}:{id}"

    @classmethod
    def _index(cls, scope):
        names = "".join(f":{name}={value}" for name, value in sorted(scope.items()))
        return f"{{{cls.keyspace}}}:index{names}"

    @classmethod
    def count(cls, **scope):
        """How many records of a scope there are."""
        return redis_store.zcount(cls._index(scope), *cls._from_now())

    @classmethod
    def _from_now(cls):
        """What is still to expire, as a range of an index."""
        return f"({int(time.time())}", "+inf"

    @classmethod
    def _living(cls, scope):
        """The ids in a scope, in order."""
        ids = redis_store.zrangebyscore(cls._index(scope), *cls._from_now())
        return sorted(map(int, ids))

    @classmethod
    def _load(cls, ids):
        if not ids:
            return []
        stored = redis_store.mget([cls._key(id) for id in ids])
        return [record for text in stored if (record := cls._loaded(text, {}))]

    @classmethod
    def _loaded(cls, stored, scope):
        if stored is None:
            return None
        record = cls(**orjson.loads(stored))
        record._stored = stored
        for name, schema in cls.read_schema["properties"].items():
            if schema.get("format") in TIMES and name in record.__dict__:
                value = record.__dict__[name]
                record.__dict__[name] = value and TIMES[schema["format"]](value)
        fits = all(getattr(record, name) == value for name, value in scope.items())
        return record if fits else None

    def _store(self):
        self.version = time.time_ns()  # no two states are alike
        self.updated_at = now()
        self.expires_at = self.updated_at + timedelta(seconds=self.ttl())
        self._stored = self._swap(dumps({n: getattr(self, n) for n in self._kept}))
        return self

    def _swap(self, new):
        """Put `new` in the place of what was read, in one step; b"" is nothing.

        Raises Changed where something else stands there by now.
        """
        keys = [self._key(self.id)]
        for names in self.scopes:
            keys.append(self._index({name: getattr(self, name) for name in names}))
        expires = int(self.expires_at.replace(tzinfo=UTC).timestamp())
        times = expires, int(time.time()), REMEMBERED
        values = self._stored, new, self.id, *times
        if not redis_store.eval(SWAP, len(keys), *keys, *values):
            raise Changed
        return new


# The next id; for the same KEYS[2] the same again, for ARGV[1] seconds.
NEXT = """
local known = redis.call('GET', KEYS[2])
if known then return tonumber(known) end
local id = redis.call('INCR', KEYS[1])
redis.call('SET', KEYS[2], id, 'EX', ARGV[1])
return id
"""
SWAP = """
local key, read, new, id, expires, now, remembered = KEYS[1], unpack(ARGV)
if (redis.call('GET', key) or '') ~= read then return 0 end
if new == '' then redis.call('DEL', key)
else redis.call('SET', key, new, 'EXAT', expires) end
for i = 2, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now - remembered)
  if new == '' then redis.call('ZREM', KEYS[i], id)
  else
    redis.call('ZADD', KEYS[i], expires, id)
    local last = redis.call('ZRANGE', KEYS[i], -1, -1, 'WITHSCORES')
    redis.call('EXPIREAT', KEYS[i], last[2] + remembered)
  end
end
return 1
"""
