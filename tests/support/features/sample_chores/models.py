"""A chore: required and optional properties of several types, and a reference."""

from myapp.core import (
    Owned,
    SqlModel,
    boolean,
    date_time,
    fault,
    optional,
    reference,
    request_schema,
    text,
)

from ..sample_gadgets.models import SampleGadget

HAS_NO_TIME = "A chore that is done has no time."
STAYS_DONE = "A chore that is done stays done."


class SampleChore(Owned, SqlModel):
    """Work that an account has to do."""

    __tablename__ = "sample_chores"

    write_schema = request_schema(
        "SampleChoreWrite",
        name=text(1, 64, "A few words.", "Change the bulb"),
        task=text(1, 250, "All of it.", "Switch it off first."),
        done=boolean("Whether it is done.", default=False),
        due_at=optional(date_time("Until when it should be done.")),
        gadget=optional(reference("The gadget that it is about.")),
    )
    sortable = ("id", "name", "done", "due_at", "created_at", "updated_at")
    references = {"gadget": SampleGadget}

    @classmethod
    def validate(cls, body, before):
        """Check that a chore ends once, and then has no time."""
        if body["done"] and body["due_at"]:
            yield fault("/due_at", HAS_NO_TIME)
        if before and before.done and not body["done"]:
            yield fault("/done", STAYS_DONE)
