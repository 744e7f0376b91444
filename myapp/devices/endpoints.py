"""`{prefix}/devices/`: the devices of the caller."""

from flask import g

from ..core import (
    FeatureApi,
    Resource,
    accepts,
    accepts_patch,
    apply_merge_patch,
    check_preconditions,
    exports,
    idempotent,
    paginated,
    requires,
    responds_file,
    responds_no_content,
    responds_with,
)
from .models import Device, count_online, summary

devices = FeatureApi("devices", "Smart devices in people's homes.", owned=True)


@devices.route("/")
class Devices(Resource):
    @requires()
    @paginated(Device)
    def get(self, page):
        """List your devices."""
        return Device.page(page, **Device.readable())

    @requires()
    @idempotent
    @accepts(Device)
    @responds_with(Device, 201)
    def post(self, body):
        """Register a device."""
        return Device.create(owner_id=g.caller.id, **body)


@devices.route("/export")
class Export(Resource):
    @requires()
    @exports(Device)
    def get(self, page):
        """Download your devices."""
        return Device.stream(page, **Device.readable())


@devices.route("/summary")
class Summary(Resource):
    @requires()
    @responds_with(summary)
    def get(self):
        """Count your devices."""
        scope = Device.readable()
        types = Device.count_by("type", **scope)
        return {
            "total": sum(types.values()),
            "by_type": types,
            "by_location": Device.count_by("location", **scope),
            "online": count_online(scope),
        }


@devices.route("/<int:id>")
class OneDevice(Resource):
    @requires()
    @responds_with(Device)
    def get(self, id):
        """Read a device."""
        return Device.get_or_404(id, **Device.readable())

    @requires()
    @accepts(Device)
    @responds_with(Device)
    def put(self, id, body):
        """Replace a device."""
        device = Device.lock_or_404(id, **Device.writable())
        check_preconditions(device)
        return device.update(**body)

    @requires()
    @accepts_patch(Device)
    @responds_with(Device)
    def patch(self, id, patch):
        """Change some properties of a device."""
        device = Device.lock_or_404(id, **Device.writable())
        check_preconditions(device)
        return device.update(**apply_merge_patch(device, patch))

    @requires()
    @responds_no_content
    def delete(self, id):
        """Delete a device."""
        device = Device.lock_or_404(id, **Device.writable())
        check_preconditions(device)
        device.delete()


@devices.route("/<int:id>/report")
class Report(Resource):
    @requires()
    @responds_file("text/plain")
    def get(self, id):
        """Download a device as text."""
        device = Device.get_or_404(id, **Device.readable())
        return device.name, ".txt", Device.report(device)
