"""A device: what it is, where it stands, whose it is."""

import orjson

from ..etags import dumps
from ..model import Owned, SqlModel
from ..schema import text, writing


class Device(Owned, SqlModel):
    """A smart device in somebody's home."""

    __tablename__ = "devices"

    write_schema = writing(
        "DeviceWrite",
        name=text(1, 64, "What its owner calls it.", "Kitchen Thermostat"),
        location=text(1, 64, "Where it stands.", "Kitchen"),
        type=text(1, 64, "What kind of thing it is.", "Thermostat"),
        model=text(1, 64, "Vendor and model.", "Acova TAFFETAS2"),
        serial_number=text(1, 64, "What the vendor calls it.", "ACOV-09494"),
    )
    sortable = ("id", "name", "type", "location", "created_at", "updated_at")

    @classmethod
    def report(cls, record):
        """The device as text, a line for each property."""
        shown = orjson.loads(dumps(cls.as_json(record)))  # times as everywhere
        width = max(map(len, shown))
        return "".join(
            f"{name:<{width}}  {' '.join(str(value).splitlines())}\n"
            for name, value in shown.items()
        )
