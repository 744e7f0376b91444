"""SQL columns for the properties of a JSON Schema."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
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

KEY = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER counts up there
MOMENT = DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
# MariaDB keeps 65,535 bytes of text; when folded, a character may become 33.
SEARCHED = Text().with_variant(MEDIUMTEXT, "mysql", "mariadb")
MOST_SEARCHED = 65_535 // 33  # characters that fit without
USERS = table("users", column("id", KEY), column("username"))  # whose slice knows this
LONGEST_INDEXED = 255  # characters of a text that an index of every database takes


def now():
    """This second, as a naive UTC datetime."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


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
