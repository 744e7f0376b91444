"""A label: a name that no other label has."""

from myapp.core import SqlModel, enum, request_schema, text


class SampleLabel(SqlModel):
    """A word that every account can use."""

    __tablename__ = "sample_labels"

    write_schema = request_schema(
        "SampleLabelWrite",
        name=text(1, 64, "The word.", "fragile"),
        colour=enum("The colour.", "red", "blue"),
    )
    sortable = ("id", "name", "colour", "created_at", "updated_at")
    unique = ("name",)
