"""A label: a name that no other label has."""

from myapp.core import SqlModel, choice, text, writing


class SampleLabel(SqlModel):
    """A word that every account can use."""

    __tablename__ = "sample_labels"

    write_schema = writing(
        "SampleLabelWrite",
        name=text(1, 64, "The word.", "fragile"),
        colour=choice("The colour.", "red", "blue"),
    )
    sortable = ("id", "name", "colour", "created_at", "updated_at")
    unique = ("name",)
