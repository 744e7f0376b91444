"""`{prefix}/presence/`: the online devices of the caller."""

from ..core import (
    FeatureApi,
    Resource,
    accepts,
    check_preconditions,
    paginated,
    requires,
    responds_no_content,
    responds_with,
)
from ..devices.models import Device
from .models import Presence

presence = FeatureApi("presence", "Heartbeats: which devices are online now.")


@presence.route("/")
class Heartbeats(Resource):
    @requires()
    @paginated(Presence)
    def get(self, page):
        """List your devices that are online."""
        return Presence.page(page, **Device.readable())


@presence.route("/<int:device_id>")
class OneHeartbeat(Resource):
    writes = False  # only to Redis; the SQL database is only read

    @requires()
    @responds_with(Presence)
    def get(self, device_id):
        """Read the last heartbeat of a device."""
        device = Device.get_or_404(device_id, **Device.readable())
        return Presence.get_or_404(device.id)

    @requires()
    @accepts(Presence)
    @responds_with(Presence, 200, 201)
    def put(self, device_id, body):
        """Send a heartbeat."""
        device = Device.get_or_404(device_id, **Device.writable())
        heartbeat = Presence.get(device.id)
        check_preconditions(heartbeat)
        if heartbeat:
            return heartbeat.update(**body)
        return Presence.create(id=device.id, owner_id=device.owner_id, **body), 201

    @requires()
    @responds_no_content
    def delete(self, device_id):
        """Report that a device goes offline."""
        device = Device.get_or_404(device_id, **Device.writable())
        heartbeat = Presence.lock_or_404(device.id)
        check_preconditions(heartbeat)
        heartbeat.delete()
