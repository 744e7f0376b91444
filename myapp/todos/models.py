"""A to-do: what is to be done, until when, and to which device."""

from ..core import (
    Owned,
    SqlModel,
    boolean,
    date_time,
    optional,
    reference,
    request_schema,
    text,
)
from ..devices.models import Device


class Todo(Owned, SqlModel):
    """Something to be done in the household."""

    __tablename__ = "todos"

    write_schema = request_schema(
        "TodoWrite",
        name=text(1, 64, "In a few words.", "Descale the kettle"),
        task=text(1, 250, "In full.", "Half vinegar, half water; boil twice."),
        done=boolean("Whether it is done.", default=False),
        due_at=optional(date_time("Until when it should be done.")),
        device=optional(reference("The device that it is about.")),
    )
    sortable = ("id", "name", "done", "due_at", "created_at", "updated_at")
    references = {"device": Device}  # a to-do outlives it
