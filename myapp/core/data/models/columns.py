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

from ...schema.fields import kinds
from ...schema.parsing import NEVER

KEY = BigInteger().with_variant(Integer, "sqlite")  # SQLite generates only INTEGER ids
MOMENT = DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
# A TEXT of MariaDB holds 65,535 bytes; a character that is normalized may become 33.
SEARCHED = Text().with_variant(MEDIUMTEXT, "mysql", "mariadb")
MOST_SEARCHED = 65_535 // 33  # characters whose search text always fits in a TEXT
USERS = table("users", column("id", KEY), column("username"))  # core imports no feature
LONGEST_INDEXED = 255  # characters of a string that every database can index


def now() -> datetime:
    """Return the current time in whole seconds, as a naive UTC datetime."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


class EndlessMoment(TypeDecorator[datetime]):
    """An optional time. None is stored as NEVER, which sorts last on every database, and
    which a cursor can compare with."""

    impl = MOMENT
    cache_ok = True

    def process_bind_param(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        return NEVER if value is None else value

    def process_result_value(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        return None if value == NEVER else value


FORMS = {"integer": BigInteger, "number": Double, "boolean": Boolean, "array": JSON}


def indexable(properties: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names of the properties that every database can index."""
    return [
        name
        for name, schema in properties.items()
        if schema.get("maxLength", 0) <= LONGEST_INDEXED
    ]


def reference_to(model: Any, schema: dict[str, Any]) -> Column[Any]:
    """Return the column of a reference to records of `model`."""
    optional = "null" in kinds(schema)
    key = ForeignKey(model.id, ondelete="SET NULL" if optional else "CASCADE")
    return Column(KEY, key, nullable=optional, index=True)


def column_for(schema: dict[str, Any]) -> Column[Any]:
    """Return the column of a property with this schema."""
    kind = next(kind for kind in kinds(schema) if kind != "null")
    form: Any
    if kind == "string":
        if schema.get("format") == "date-time":
            endless = "null" in kinds(schema)
            return Column(EndlessMoment if endless else MOMENT, nullable=False)
        if schema.get("format") == "date":
            form = Date
        elif schema["maxLength"] > LONGEST_INDEXED:
            form = Text
        else:
            length = schema["maxLength"]
            # Names are compared by their characters, whatever the server's locale.
            form = String(length).with_variant(
                String(length, collation="C"), "postgresql"
            )
    else:
        form = FORMS[kind]
    return Column(form, nullable="null" in kinds(schema))
