"""`{prefix}/devices/`: the devices that I own."""

from flask import g

from ..core import (
    FeatureApi,
    Resource,
    accepts,
    accepts_patch,
    answers,
    answers_file,
    answers_nothing,
    exports,
    idempotent,
    merged,
    must_match,
    paged,
    requires,
)
from .models import Device, online, summary

devices = FeatureApi("devices", "Smart devices in people's homes.", owned=True)


@devices.route("/")
class Devices(Resource):
    @requires()
    @paged(Device)
    def get(self, page):
        """List your devices."""
        return Device.page(page, **Device.readable())

    @requires()
    @idempotent
    @accepts(Device)
    @answers(Device, 201)
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
    @answers(summary)
    def get(self):
        """Count your devices."""
        scope = Device.readable()
        types = Device.count_by("type", **scope)
        return {
            "total": sum(types.values()),
            "by_type": types,
            "by_location": Device.count_by("location", **scope),
            "online": online(scope),
        }


@devices.route("/<int:id>")
class OneDevice(Resource):
    @requires()
    @answers(Device)
    def get(self, id):
        """Read a device."""
        return Device.get_or_404(id, **Device.readable())

    @requires()
    @accepts(Device)
    @answers(Device)
    def put(self, id, body):
        """Replace a device."""
        found = Device.lock_or_404(id, **Device.writable())
        must_match(found)
        return found.update(**body)

    @requires()
    @accepts_patch(Device)
    @answers(Device)
    def patch(self, id, patch):
        """Change some properties of a device."""
        found = Device.lock_or_404(id, **Device.writable())
        must_match(found)
        return found.update(**merged(found, patch))

    @requires()
    @answers_nothing
    def delete(self, id):
        """Forget a device."""
        found = Device.lock_or_404(id, **Device.writable())
        must_match(found)
        found.delete()


@devices.route("/<int:id>/report")
class Report(Resource):
    @requires()
    @answers_file("text/plain")
    def get(self, id):
        """Download a device as text."""
        found = Device.get_or_404(id, **Device.readable())
        return found.name, ".txt", Device.report(found)
