"""A note: a text about a gadget."""

from myapp.core import Below, SqlModel, text, writing

from ..sample_gadgets.models import SampleGadget


class SampleNote(Below, SqlModel):
    """A text about a gadget, which is deleted with it."""

    __tablename__ = "sample_notes"
    parent = SampleGadget

    write_schema = writing(
        "SampleNoteWrite", content=text(1, 250, "The text.", "Warm white.")
    )
    sortable = ("id", "content", "created_at", "updated_at")
