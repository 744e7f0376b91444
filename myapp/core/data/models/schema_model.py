"""SchemaModel: what both kinds of model derive from `write_schema`."""

import re
from operator import attrgetter

from ...schema.fields import BIGGEST, integer, kinds, moment, reading, text
from ...schema.validation import Body
from .columns import indexable
from .pages import OWN
from .urls import item_url, url_of

ID = integer(1, BIGGEST, "Never given twice.", 7)
OWNER = text(1, 64, "The account that this belongs to.", "pythonista")
CREATED_AT = moment("When it came.")
UPDATED_AT = moment("When it last changed.")


def spoken(model):
    """What a model's things are called, one of them: `smart lock` for SmartLock."""
    return re.sub(r"(?<=.)(?=[A-Z])", " ", model.__name__).lower()


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
