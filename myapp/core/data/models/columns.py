"""SQL columns for the properties of a JSON Schema."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Integer,
    String,
    Text,
    TypeDecorator,
    column,
    table,
)
from sqlalchemy.dialects.mysql import DATETIME, MEDIUMTEXT
from sqlalchemy.sql import operators
from sqlalchemy.types import TypeEngine

from ...schema.fields import json_types
from ...schema.parsing import MAX_DATETIME

# SQLite generates only INTEGER ids
BIGINT_ID = BigInteger().with_variant(Integer, "sqlite")
TIMESTAMP = DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
# A TEXT of MariaDB holds 65,535 bytes; a character that is normalized may become 33.
LONG_SEARCH_TEXT = Text().with_variant(MEDIUMTEXT, "mysql", "mariadb")
# characters whose search text always fits in a TEXT
MAX_SHORT_SEARCH_CHARACTERS = 65_535 // 33
# core imports no feature
USERS_TABLE = table("users", column("id", BIGINT_ID), column("username"))
MAX_INDEXED_CHARACTERS = 255  # characters of a string that every database can index


def now() -> datetime:
    """Return the current time in whole seconds, as a naive UTC datetime."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


COMPARISONS_WITH_NULL: dict[Any, Any] = {
    operators.is_: operators.eq,
    operators.is_not: operators.ne,
}


class NullsLastTimestamp(TypeDecorator[datetime]):
    """An optional time. None is stored as MAX_DATETIME, which sorts last on every database,
    and which a cursor can compare with."""

    impl = TIMESTAMP
    cache_ok = True

    class comparator_factory(TypeEngine.Comparator[datetime]):
        """Compares with None as if it were stored as NULL."""

        def operate(self, op: Any, *other: Any, **options: Any) -> Any:
            if len(other) == 1 and other[0] is None:
                op, other = COMPARISONS_WITH_NULL.get(op, op), (MAX_DATETIME,)
            return super().operate(op, *other, **options)

    def process_bind_param(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        return MAX_DATETIME if value is None else value

    def process_result_value(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        return None if value == MAX_DATETIME else value


COLUMN_TYPES = {
    "integer": BigInteger,
    "number": Double,
    "boolean": Boolean,
    "array": JSON,
}


def indexable_fields(properties: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names of the properties that every database can index."""
    return [
        name
        for name, schema in properties.items()
        if schema.get("maxLength", 0) <= MAX_INDEXED_CHARACTERS
    ]


def reference_column(model: Any, schema: dict[str, Any]) -> Column[Any]:
    """Return the column of a reference to records of `model`."""
    optional = "null" in json_types(schema)
    key = ForeignKey(model.id, ondelete="SET NULL" if optional else "CASCADE")
    return Column(BIGINT_ID, key, nullable=optional, index=True)


def column_for(schema: dict[str, Any]) -> Column[Any]:
    """Return the column of a property with this schema."""
    kind = next(kind for kind in json_types(schema) if kind != "null")
    form: Any
    if kind == "string":
        if schema.get("format") == "date-time":
            nulls_last = "null" in json_types(schema)
            return Column(
                NullsLastTimestamp if nulls_last else TIMESTAMP, nullable=False
            )
        if schema.get("format") == "date":
            form = Date
        elif schema["maxLength"] > MAX_INDEXED_CHARACTERS:
            form = Text
        else:
            length = schema["maxLength"]
            # Names are compared by their characters, whatever the server's locale.
            form = String(length).with_variant(
                String(length, collation="C"), "postgresql"
            )
    else:
        form = COLUMN_TYPES[kind]
    return Column(form, nullable="null" in json_types(schema))
