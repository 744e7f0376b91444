"""A note: a text about a gadget."""

from datetime import datetime

from sqlalchemy import case
from sqlalchemy.orm import column_property, declared_attr

from myapp.core import ChildOf, SqlModel, boolean, request_schema, text

from ..sample_gadgets.models import SampleGadget

CENTURY = datetime(2001, 1, 1)


class SampleNote(ChildOf, SqlModel):
    """A text about a gadget, which is deleted with it."""

    __tablename__ = "sample_notes"
    parent = SampleGadget

    write_schema = request_schema(
        "SampleNoteWrite", content=text(1, 250, "The text.", "Warm white.")
    )
    sortable = ("id", "content", "created_at", "updated_at")
    read_only = {
        "recent": boolean("Whether it is from this century."),
        "historic": boolean("Whether it is from an earlier one."),
    }
    unfilterable = ("historic",)

    @declared_attr
    def recent(cls):
        return column_property(cls.created_at >= CENTURY)

    @declared_attr
    def historic(cls):
        return column_property(case((cls.created_at < CENTURY, True), else_=False))
