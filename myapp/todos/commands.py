"""The demo to-dos."""

import json
from pathlib import Path

from ..core import sql
from ..devices.models import Device
from .endpoints import todos
from .models import Todo

DEMO = Path(__file__).parent.parent.parent / "data" / "todos.json"


@todos.demo(Todo)
def fill(owner_id):
    """Create the demo to-dos; some name a device by its serial number."""
    for body in json.loads(DEMO.read_text(encoding="utf-8")):
        its = Device.serial_number == body.pop("device", None)
        device = sql.session.scalar(sql.select(Device.id).where(its))
        Todo.create(owner_id=owner_id, **Todo.body.validate({**body, "device": device}))
