"""A note: a text about a gadget."""

from myapp.core import ChildOf, SqlModel, request_schema, text

from ..sample_gadgets.models import SampleGadget


class SampleNote(ChildOf, SqlModel):
    """A text about a gadget, which is deleted with it."""

    __tablename__ = "sample_notes"
    parent = SampleGadget

    write_schema = request_schema(
        "SampleNoteWrite", content=text(1, 250, "The text.", "Warm white.")
    )
    sortable = ("id", "content", "created_at", "updated_at")
