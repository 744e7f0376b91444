"""A gadget: five required texts, and an owner."""

import orjson

from myapp.core import Owned, SqlModel, dumps, request_schema, text


class SampleGadget(Owned, SqlModel):
    """An object that an account owns."""

    __tablename__ = "sample_gadgets"

    write_schema = request_schema(
        "SampleGadgetWrite",
        name=text(1, 64, "The name that its owner uses.", "Reading lamp"),
        location=text(1, 64, "Where it stands.", "Study"),
        type=text(1, 64, "Its kind.", "Lamp"),
        model=text(1, 64, "Vendor and model.", "Lumen 200"),
        serial_number=text(1, 64, "The vendor's number.", "LUM-00017"),
    )
    sortable = ("id", "name", "type", "location", "created_at", "updated_at")

    @classmethod
    def report(cls, record):
        """Return the record as text, with a line for each property."""
        shown = orjson.loads(dumps(cls.as_json(record)))
        return "".join(f"{name}: {value}\n" for name, value in shown.items())
