"""What `flask doctor` says of heartbeats."""

from support.doctor import finding


def test_the_doctor_says_when_a_device_is_away(app):
    message = "a device is away after 300 s without a heartbeat"
    assert finding(app, "presence") == ("ok", message, "")


def test_heartbeats_that_expire_at_once_are_wrong(app):
    app.config["PRESENCE_TTL"] = 0
    message = "PRESENCE_TTL 0: no heartbeat can be taken"
    assert finding(app, "presence") == ("wrong", message, "MYAPP_PRESENCE_TTL=300")
