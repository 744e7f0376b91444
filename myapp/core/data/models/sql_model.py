"""SqlModel: a model in the SQL database."""

import re
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sqlalchemy import (
    Column,
    Index,
    Integer,
    Select,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    event,
    select,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from ...errors import (
    DefinitionError,
    InvalidReference,
    NotFound,
    ValueTaken,
    fault,
)
from ...schema.fields import X_REFERENCES, json_types
from ..session import sql, unit_of_work
from ..statements import column_params, column_values, insert_all, read, write
from .columns import (
    BIGINT_ID,
    LONG_SEARCH_TEXT,
    MAX_SHORT_SEARCH_CHARACTERS,
    TIMESTAMP,
    column_for,
    indexable_fields,
    now,
    reference_column,
)
from .conditions import bind_params, bind_values, condition_key, normalize_for_search
from .owned import Owned
from .page_queries import PageQueries
from .row import Row
from .schema_model import SchemaModel, human_name

if TYPE_CHECKING:
    from ..session import Base as Model  # a type checker cannot evaluate `sql.Model`
else:
    Model = sql.Model

REBUILD_BATCH_ROWS = 500  # in one unit of work


class SqlModel(PageQueries, SchemaModel, Model):
    """A model in the SQL database: a column for each property of `write_schema`.

    `get_or_404`, `create` and `page` return a Row of the columns that are shown;
    `lock_or_404` returns an instance.

    `references`: {name: model} of the properties that are ids of other records. Such a
    record must exist and, if both models have owners, have the same owner. When it is
    deleted, an optional reference becomes null; with a required one, this record is deleted
    too.
    `unique`: names of the properties whose values are unique, within one owner or one
    parent if there is one.
    """

    __abstract__ = True

    if TYPE_CHECKING:
        __table__: ClassVar[Table]

    references: "ClassVar[dict[str, type[SqlModel]]]" = {}
    unique: ClassVar[tuple[str, ...]] = ()
    # Names of the columns of which every page has a single value.
    scoped_by: ClassVar[tuple[str, ...]] = ()
    # Names of the columns that a Row has in addition to those that are shown.
    hidden: ClassVar[tuple[str, ...]] = ("version",)
    Record: ClassVar[type[Any]]

    id: Mapped[int] = mapped_column(BIGINT_ID, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, nullable=False, default=1)
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP, nullable=False, default=now)
    updated_at: Mapped[datetime] = mapped_column(
        TIMESTAMP, nullable=False, default=now, onupdate=now
    )

    @declared_attr
    def search(cls) -> Mapped[str]:
        fields = cls.write_schema["properties"]
        length = sum(fields[name].get("maxLength", 0) for name in cls.search_fields)
        kind = Text if length <= MAX_SHORT_SEARCH_CHARACTERS else LONG_SEARCH_TEXT
        return mapped_column(kind, nullable=False, default="")

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.version}

    @declared_attr.directive
    def __table_args__(cls) -> tuple[Any, ...]:
        # The scope comes first, because each page is within it, and the id last, because
        # it orders ties; so one index serves both to filter and to sort.
        names = [dict.fromkeys((name, "id")) for name in cls.indexed_fields()]
        orders = [(*cls.scoped_by, *fields) for fields in names]
        return (
            *(Index(None, *order) for order in orders if order != ("id",)),
            *(UniqueConstraint(*cls.scoped_by, name) for name in cls.unique),
            {
                "sqlite_autoincrement": True,  # an id is never used again
                "mysql_charset": "utf8mb4",
                "mysql_collate": "utf8mb4_nopad_bin",
            },
        )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if not cls.__dict__.get("__abstract__"):
            cls.collection = cls.collection or cls.__tablename__
            for name, other in cls.references.items():
                cls.write_schema["properties"][name][X_REFERENCES] = other.collection
            cls.derive_schemas()
            for name, schema in cls.write_schema["properties"].items():
                if name in cls.write_only or name in cls.__dict__:
                    continue
                if hasattr(cls, name):
                    raise DefinitionError(
                        f"{cls.__module__}.{cls.__name__}.{name} is taken: choose "
                        "another name."
                    )
                referenced = cls.references.get(name)
                if referenced:
                    setattr(cls, name, reference_column(referenced, schema))
                else:
                    setattr(cls, name, column_for(schema))
                if referenced and "null" in json_types(schema):
                    event.listen(
                        referenced, "before_delete", cls._nullify_on_delete(name)
                    )
            cls.hidden = tuple(dict.fromkeys(chain(*cls._declared("hidden"))))
            fields = (*cls.shown_fields, *cls.hidden)
            cls.Record = namedtuple("Record", fields)  # type: ignore[misc]  # dynamic
        super().__init_subclass__(**kwargs)

    @classmethod
    def columns(cls) -> list[Any]:
        """Return the columns of a Row."""
        return [getattr(cls, name) for name in (*cls.shown_fields, *cls.hidden)]

    @classmethod
    def indexed_fields(cls) -> Iterable[str]:
        """Return the names of the fields that an index serves."""
        return cls.sortable

    @classmethod
    def indexable_filters(cls) -> list[str]:
        """Return the names of the filters that are columns which an index can serve."""
        return [
            name
            for name in indexable_fields(cls.filters)
            if name not in cls.read_only or isinstance(vars(cls).get(name), Column)
        ]

    @classmethod
    def scope_conditions(cls, scope: Mapping[str, Any]) -> list[Any]:
        """Return the conditions of a scope."""
        return [getattr(cls, name) == value for name, value in scope.items()]

    @classmethod
    def resolve_filters(cls, filters: dict[str, Any]) -> dict[str, Any]:
        """Return a client's filters in the form that `within` takes."""
        return filters

    @classmethod
    def get_or_404(cls, id: int, **scope: Any) -> Row[Self]:
        """Return a record to read. Raises NotFound."""

        def one() -> Select:
            conditions = cls.scope_conditions(bind_params("scope_", scope))
            return select(*cls.columns()).where(cls.id == bindparam("id"), *conditions)

        rows = read(
            (cls, "one", condition_key(scope)),
            one,
            id=id,
            **bind_values("scope_", scope),
        )
        if not rows:
            raise NotFound
        return cls.Record._make(rows[0])

    @classmethod
    def lock_or_404(cls, id: int, **scope: Any) -> Self:
        """Return an instance to change, locked until the transaction ends.

        Raises NotFound.
        """
        statement = select(cls).where(cls.id == id, *cls.scope_conditions(scope))
        statement = statement.with_for_update(of=cls)
        record = sql.session.scalars(statement).first()
        if record is None:
            raise NotFound
        return record

    @classmethod
    def lock_exists(cls, id: int, **scope: Any) -> bool:
        """Return True if the record exists; no other transaction can delete it before this
        one ends."""
        statement = select(cls.id).where(cls.id == id, *cls.scope_conditions(scope))
        locked = statement.with_for_update(read=True, key_share=True)
        return sql.session.execute(locked).first() is not None

    @classmethod
    def create(cls, **values: Any) -> Row[Self]:
        """Create a record; return it, to read.

        `values` may include properties that are shown and not stored. Raises
        InvalidReference if a reference names no record, Invalid if `validate` yields a
        fault, and ValueTaken if a unique value is taken.
        """
        cls._check_references(values, values.get("owner_id"))
        cls.check_rules(values)
        values = cls._default_values() | values
        values["search"] = normalize_for_search(
            *(values[name] for name in cls.search_fields)
        )
        columns = cls.__table__.columns
        row = {name: value for name, value in values.items() if name in columns}

        def insert() -> Any:
            new = sql.insert(cls.__table__).values(column_params(row))
            return new.returning(cls.id)

        with cls._conflict_as_409():
            ((id,),) = write((cls, "create", *row), insert, **column_values(row))
        # SQLite 3.40 returns a float if the first column of the table holds floats.
        values["id"] = int(id)
        if not values.keys() >= cls._queried_fields():
            return cls.get_or_404(values["id"])
        return cls.Record._make(map(values.get, cls.Record._fields))

    @classmethod
    def _default_values(cls) -> dict[str, Any]:
        """Return the default values of a new record's columns."""
        defaults = cls._column_defaults().items()
        return {name: d(None) if callable(d) else d for name, d in defaults}

    @classmethod
    @cache
    def _column_defaults(cls) -> dict[str, Any]:
        """Return the defaults of the columns: values, or functions that return them."""
        columns: Any = cls.__table__.columns
        return {column.key: column.default.arg for column in columns if column.default}

    @classmethod
    @cache
    def _queried_fields(cls) -> set[str]:
        """Return the names of the fields whose values the database computes."""
        return {*cls.shown_fields} - {*cls.__table__.columns.keys(), "owner"}

    @classmethod
    def create_many(cls, bodies: Iterable[Mapping[str, Any]], **values: Any) -> None:
        """Create records from request bodies, each with the same additional `values`.

        The caller has checked them with `check_rules`.
        """
        common_values = {**cls._default_values(), **values}
        del common_values["search"]
        written = [
            name for name in cls.write_schema["properties"] if name not in common_values
        ]
        rows = [
            (
                *(body[n] for n in written),
                normalize_for_search(*(body[n] for n in cls.search_fields)),
            )
            for body in bodies
        ]
        insert_all(cls.__table__, (*written, "search"), rows, common_values)

    def update(self, **values: Any) -> Self:
        """Change this record. Raises the errors that `create` raises."""
        # Lock only new references: a deletion locks a record before those that refer to it,
        # so two transactions could otherwise wait for each other.
        others = {n: v for n, v in values.items() if v != getattr(self, n)}
        self._check_references(others, getattr(self, "owner_id", None))
        self.check_change(values)
        for name, value in values.items():
            setattr(self, name, value)
        self.search = self.search_text()
        with self._conflict_as_409():
            sql.session.flush()
        if queried := self._queried_fields():
            sql.session.refresh(self, queried)
        return self

    @classmethod
    def _check_references(cls, values: Mapping[str, Any], owner_id: int | None) -> None:
        faults = []
        for name in cls.references.keys() & values.keys():
            other, id = cls.references[name], values[name]
            scope = {"owner_id": owner_id} if issubclass(other, Owned) else {}
            if id is not None and not other.lock_exists(id, **scope):
                faults.append(fault(f"/{name}", f"No such {human_name(other)}."))
        if faults:
            raise InvalidReference(errors=faults)

    @classmethod
    @contextmanager
    def _conflict_as_409(cls) -> Iterator[None]:
        """Raise ValueTaken if the block violates a unique constraint.

        The database's message names its index or its columns.
        """
        try:
            yield
        except IntegrityError as error:
            message, table = str(error.orig), cls.__tablename__
            for name in cls.unique:
                index = "_".join(("uq", table, *cls.scoped_by, name))
                if re.search(rf"\b({index}|{table}[.]{name})\b", message):
                    raise ValueTaken(f"The {name} is taken.") from None
            raise

    @classmethod
    def _nullify_on_delete(cls, name: str) -> Callable[..., None]:
        """Return a listener that sets references to a deleted record to null.

        The foreign key would do so without changing `version` and `updated_at`.
        """

        def nullify(_mapper: Any, connection: Any, other: Any) -> None:
            about = sql.update(cls).where(getattr(cls, name) == other.id)
            connection.execute(about.values({name: None}))

        return nullify

    def delete(self) -> None:
        """Delete this record."""
        sql.session.delete(self)
        sql.session.flush()

    def search_text(self) -> str:
        """Return the text that `q` searches."""
        return normalize_for_search(
            *(getattr(self, name) for name in self.search_fields)
        )

    @classmethod
    def rebuild_search(cls) -> int:
        """Rebuild the search text of every record; return how many differed.

        Versions and times of the records stay.
        """
        total, last, more = 0, 0, True
        while more:
            with unit_of_work():
                batch = (
                    select(cls)
                    .where(cls.id > last)
                    .order_by(cls.id)
                    .limit(REBUILD_BATCH_ROWS)
                )
                records = sql.session.scalars(batch.with_for_update()).all()
                more = bool(records)
                for record in records:
                    text, last = record.search_text(), record.id
                    if record.search != text:
                        this = sql.update(cls.__table__).where(cls.id == record.id)
                        same = {"updated_at": record.updated_at, "search": text}
                        sql.session.execute(this.values(same))
                        total += 1
                sql.session.expunge_all()
        return total
