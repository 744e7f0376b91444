"""SchemaModel: what both kinds of model derive from `write_schema`."""

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from operator import attrgetter
from typing import Any, ClassVar

from ...errors import DefinitionError, Invalid
from ...schema.fields import (
    MAX_INT64,
    date_time,
    integer,
    json_types,
    response_schema,
    text,
)
from ...schema.validation import BodyValidator
from .columns import indexable_fields
from .pages import RESERVED_PARAMS
from .urls import item_url, url_schema

ID = integer(1, MAX_INT64, "The id, which is never used again.", 7)
OWNER = text(1, 64, "The username of the owner.", "pythonista")
CREATED_AT = date_time("When the resource was created.")
UPDATED_AT = date_time("When the resource was last modified.")


def human_name(model: type) -> str:
    """Return the name of a model's records, in the singular: `smart lock` for SmartLock."""
    return re.sub(r"(?<=.)(?=[A-Z])", " ", model.__name__).lower()


class SchemaModel:
    """The base of both kinds of model: everything that follows from `write_schema`.

    `read_schema`: the properties of `write_schema`, with url, id, owner (if there is one)
    and times. `filters`: the properties that a query may filter by, with their schemas.
    `body`: validates a request body. `shown_fields`: the names of the properties that are
    stored.
    """

    write_schema: ClassVar[dict[str, Any]]
    read_schema: ClassVar[dict[str, Any]]
    body: ClassVar[BodyValidator]
    filters: ClassVar[dict[str, dict[str, Any]]]
    shown_fields: ClassVar[tuple[str, ...]]

    # The path below API_PREFIX; by default the name of the table or keyspace.
    collection: ClassVar[str] = ""
    sortable: ClassVar[tuple[str, ...]] = ("id",)
    # Additional properties, which clients read and do not write. A model adds its own to
    # those of its mixins; so it does with `unfilterable` and `hidden`.
    read_only: ClassVar[dict[str, dict[str, Any]]] = {}
    # Names of properties that clients write and never read.
    write_only: ClassVar[tuple[str, ...]] = ()
    # Names of properties that `as_json` adds to the stored ones.
    computed: ClassVar[tuple[str, ...]] = ()
    # Names of properties that a query must not filter by.
    unfilterable: ClassVar[tuple[str, ...]] = ()
    # Names of properties that `q` searches; by default all strings.
    search_fields: ClassVar[tuple[str, ...]] = ()

    _names: ClassVar[tuple[str, ...]]
    _values: ClassVar[Callable[[Any], tuple[Any, ...]]]

    @classmethod
    def derive_schemas(cls) -> None:
        """Set the attributes that follow from `write_schema`.

        Raises DefinitionError if `sortable` or a property's name is not allowed.
        """
        if not hasattr(cls, "write_schema"):
            raise DefinitionError(
                f"{cls.__module__}.{cls.__name__} has no write_schema: set it to "
                "request_schema(…), with the properties that clients write."
            )
        cls.read_only = dict(chain(*(d.items() for d in cls._declared("read_only"))))
        cls.unfilterable = tuple(chain(*cls._declared("unfilterable")))
        cls.body = BodyValidator(cls.write_schema)
        cls.read_schema = response_schema(
            cls.__name__,
            url=url_schema(cls.collection),
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
        cls.shown_fields = tuple(
            name
            for name in cls.read_schema["properties"]
            if name not in ("url", *cls.computed)
        )
        cls.filters = {
            name: schema
            for name, schema in cls.read_schema["properties"].items()
            if name in cls.shown_fields
            and name not in cls.unfilterable
            and not {"object", "array"} & set(json_types(schema))
        }
        cls.search_fields = cls.search_fields or tuple(
            name
            for name, schema in cls.write_schema["properties"].items()
            if "string" in json_types(schema)
            and "format" not in schema
            and name not in cls.write_only
        )
        cls._names = ("url", *cls.shown_fields)
        cls._values = attrgetter(*cls.shown_fields)
        unknown = set(cls.sortable) - set(indexable_fields(cls.filters))
        clash = set(cls.filters) & set(RESERVED_PARAMS)
        if unknown or clash:
            raise DefinitionError(
                f"{cls.__module__}.{cls.__name__} cannot sort or filter by "
                f"{', '.join(sorted(unknown | clash))}."
            )

    @classmethod
    def validate(cls, body: dict[str, Any], before: Any) -> Iterable[dict[str, str]]:
        """Yield `fault(pointer, detail)` for each rule that a valid body violates.

        A model overrides this for rules between properties, or with the database. `body`:
        all properties that clients write; of a new record also `owner_id`, or the id of its
        parent. `before`: the record that it changes; None for a new one. Runs in the
        transaction of the write.
        """
        return ()

    @classmethod
    def check_rules(cls, body: dict[str, Any], before: Any = None) -> None:
        """Raise Invalid with every fault that `validate` yields."""
        if faults := list(cls.validate(body, before)):
            raise Invalid(errors=faults)

    def check_change(self, values: Mapping[str, Any]) -> None:
        """Raise Invalid if a change of properties that clients write violates a rule."""
        names = self.write_schema["properties"].keys()
        if names & values.keys():
            body = {n: getattr(self, n) for n in names if n not in self.write_only}
            self.check_rules(body | {n: values[n] for n in names & values.keys()}, self)

    @classmethod
    def _declared(cls, name: str) -> list[Any]:
        """Return the values that this class and its mixins have for an attribute."""
        return [
            vars(base)[name] for base in reversed(cls.__mro__) if name in vars(base)
        ]

    @classmethod
    def as_json(cls, record: Any) -> dict[str, Any]:
        """Return the representation of a record: an instance, or a row of its columns."""
        url = item_url(cls.collection, record.id)
        values = record if isinstance(record, tuple) else cls._values(record)
        return dict(zip(cls._names, (url, *values)))
