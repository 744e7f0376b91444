"""The check of heartbeats in `flask doctor`."""

from support.doctor import finding


def test_the_doctor_reports_when_a_device_is_offline(app):
    message = "a device is offline after 300 s without a heartbeat"
    assert finding(app, "presence") == ("ok", message, "", "")


def test_heartbeats_that_expire_at_once_are_an_error(app):
    app.config["PRESENCE_TTL"] = 0
    message = "PRESENCE_TTL is 0, so that each heartbeat expires at once"
    expected = ("wrong", message, "MYAPP_PRESENCE_TTL=300", "presence.E001")
    assert finding(app, "presence") == expected
