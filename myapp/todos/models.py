"""To-dos: a task, when it is due, and a device."""

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
    """A to-do of a household."""

    __tablename__ = "todos"

    write_schema = request_schema(
        "TodoWrite",
        name=text(1, 64, "A short name.", "Descale the kettle"),
        task=text(
            1, 250, "The full description.", "Half vinegar, half water; boil twice."
        ),
        done=boolean("True once the to-do is done.", default=False),
        due_at=optional(date_time("When the to-do is due.")),
        device=optional(reference("The id of the device that the to-do is about.")),
    )
    sortable = ("id", "name", "done", "due_at", "created_at", "updated_at")
    references = {"device": Device}  # the to-do is kept when its device is deleted
