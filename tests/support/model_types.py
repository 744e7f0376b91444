"""The types of a model's columns, for `make lint`: mypy checks this file, nothing runs it.

An unused `type: ignore` is an error, so each one here proves that mypy reports the line.
"""

from datetime import date as date_type
from datetime import datetime
from typing import Any, assert_type

from sqlalchemy.orm import InstrumentedAttribute

from myapp.core import (
    ALL_RECORDS,
    ChildOf,
    Owned,
    RedisModel,
    Row,
    SqlModel,
    boolean,
    date,
    date_time,
    integer,
    number,
    optional,
    reference,
    request_schema,
    text,
)


class Lamp(Owned, SqlModel):
    """A model with a column of each type."""

    __tablename__ = "typed_lamps"

    write_schema = request_schema(
        "LampWrite",
        name=text(1, 64, "The name.", "Reading lamp"),
        power=optional(number(0, 100, "In watts.", 4.5)),
        dimmable=boolean("Whether it can be dimmed.", default=False),
        bought_on=date("When it was bought."),
        cleaned_at=optional(date_time("When it was last cleaned.")),
        room=integer(1, 9, "The number of the room.", 3),
        tags={"type": "array", "items": {"type": "string"}},
    )


class Bulb(ChildOf, SqlModel):
    """A model with a parent and a reference."""

    __tablename__ = "typed_bulbs"
    parent = Lamp

    write_schema = request_schema(
        "BulbWrite",
        spare=optional(reference("The lamp that it was taken from.")),
    )
    references = {"spare": Lamp}


class Flicker(RedisModel):
    """A model in Redis."""

    keyspace = "typed_flickers"

    write_schema = request_schema("FlickerWrite", times=integer(0, 9, "How often.", 2))


def row_has_the_columns_of_the_schema(lamp: Row[Lamp]) -> None:
    assert_type(lamp.id, int)
    assert_type(lamp.name, str)
    assert_type(lamp.power, float | None)
    assert_type(lamp.dimmable, bool)
    assert_type(lamp.bought_on, date_type)
    assert_type(lamp.cleaned_at, datetime | None)
    assert_type(lamp.tags, Any)
    assert_type(lamp.owner, str)
    assert_type(lamp.owner_id, int)
    assert_type(lamp.created_at, datetime)


def row_is_read_only(lamp: Row[Lamp]) -> None:
    lamp.name = "Lamp"  # type: ignore[attr-defined]
    lamp.id = 8  # type: ignore[misc]
    lamp.update(name="Lamp")  # type: ignore[attr-defined]


def misspelt_column_is_an_error(row: Row[Lamp], lamp: Lamp) -> None:
    row.nmae  # type: ignore[attr-defined]
    lamp.nmae  # type: ignore[attr-defined]


def instance_has_the_columns_of_the_schema(lamp: Lamp) -> None:
    assert_type(lamp.name, str)
    assert_type(lamp.room, int)
    assert_type(lamp.cleaned_at, datetime | None)
    assert_type(Lamp.room, InstrumentedAttribute[int])
    lamp.room = "3"  # type: ignore[assignment]


def records_have_these_types() -> None:
    assert_type(Lamp.get_or_404(7), Row[Lamp])
    assert_type(Lamp.create(owner_id=1), Row[Lamp])
    assert_type(Lamp.page(ALL_RECORDS).records, list[Row[Lamp]])
    assert_type(Lamp.lock_or_404(7), Lamp)
    assert_type(Lamp.lock_or_404(7).update(room=4), Lamp)
    assert_type(Bulb.get_or_404(7).lamp, int)
    assert_type(Bulb.get_or_404(7).spare, int | None)
    assert_type(Flicker.lock_or_404(7).times, int)
