"""A label: a name that no other label has."""

from sqlalchemy import Column

from myapp.core import (
    TIMESTAMP,
    Conflict,
    SqlModel,
    date_time,
    enum,
    optional,
    request_schema,
    text,
)


class Retired(Conflict):
    """The label is retired."""

    problem = "sample-label-retired"


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
    read_only = {"retired_at": optional(date_time("Since when nothing gets it."))}
    retired_at = Column(TIMESTAMP, nullable=True)
