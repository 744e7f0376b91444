"""SqlModel: a model in the SQL database."""

import re
from collections import namedtuple
from contextlib import contextmanager
from functools import cache

from sqlalchemy import (
    Column,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    bindparam,
    event,
    select,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import declared_attr

from ...errors import Conflict, InvalidReference, NotFound, fault
from ...schema.fields import REFERS, kinds
from ..session import sql, unit_of_work
from ..statements import filled, insert_all, parameters, read, write
from .columns import KEY, MOMENT, MOST_SEARCHED, SEARCHED, column_for, now, reference_to
from .conditions import folded, named, shape, stand_ins
from .owned import Owned
from .page_queries import PageQueries
from .schema_model import Described, spoken

REBUILD_ROWS = 500  # in one unit of work


class SqlModel(PageQueries, Described, sql.Model):
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
        if not rows:
            raise NotFound
        return cls.Record._make(rows[0])

    @classmethod
    def lock_or_404(cls, id, **scope):
        statement = select(cls).where(cls.id == id, *cls.within(scope))
        statement = statement.with_for_update(of=cls)
        record = sql.session.scalars(statement).first()
        if record is None:
            raise NotFound
        return record

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
        # SQLite 3.40 returns a float if the first column of the table holds floats.
        values["id"] = int(id)
        return cls.Record._make(map(values.get, cls.Record._fields))

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
            raise InvalidReference(errors=faults)

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
                    raise Conflict(f"The {name} is taken.") from None
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
        """Rebuild the search text of every record; return how many differed.

        Versions and times of the records stay.
        """
        total, last, records = 0, 0, True
        while records:
            with unit_of_work():
                some = (
                    select(cls)
                    .where(cls.id > last)
                    .order_by(cls.id)
                    .limit(REBUILD_ROWS)
                )
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
