"""A to-do: what is to be done, until when, and to which device."""

from sqlalchemy import Column, ForeignKey, event

from ..devices.models import Device
from ..model import KEY, Owned, SqlModel, sql
from ..problems import Problem, fault
from ..schema import BIGGEST, flag, integer, moment, optional, text, writing


class Todo(Owned, SqlModel):
    """Something to be done in the household."""

    __tablename__ = "todos"

    write_schema = writing(
        "TodoWrite",
        name=text(1, 64, "In a few words.", "Descale the kettle"),
        task=text(1, 250, "In full.", "Half vinegar, half water; boil twice."),
        done=flag("Whether it is done.", default=False),
        due_at=optional(moment("Until when it should be done.")),
        device=optional(integer(1, BIGGEST, "The device that it is about.", 7)),
    )
    sortable = ("id", "name", "done", "due_at", "created_at", "updated_at")

    # A to-do outlives its device.
    device = Column(KEY, ForeignKey("devices.id", ondelete="SET NULL"), index=True)

    @classmethod
    def create(cls, owner_id, **values):
        must_own(owner_id, values["device"])
        return super().create(owner_id=owner_id, **values)

    def update(self, **values):
        # Who deletes a device holds it and waits for its to-dos: never the other way.
        if values["device"] != self.device:
            must_own(self.owner_id, values["device"])
        return super().update(**values)


def must_own(owner_id, device_id):
    """Go on only if the device, if there is one, is of the same owner. Raises 422.

    The device stays until this transaction ends.
    """
    if device_id is None:
        return
    found = sql.select(Device.id).where(
        Device.id == device_id, Device.owner_id == owner_id
    )
    held = found.with_for_update(read=True, key_share=True)
    if sql.session.execute(held).first() is None:
        raise Problem(422, errors=[fault("/device", "there is no such device")])


@event.listens_for(Device, "before_delete")
def let_go(_mapper, connection, device):
    """Losing its device changes a to-do; the foreign key alone would not say when."""
    about = sql.update(Todo).where(Todo.device == device.id)
    connection.execute(about.values(device=None))  # and `updated_at`
