from conftest import THERMOSTAT


def test_a_device_is_registered_read_and_forgotten(client):
    made = client.post("/api/v1/devices/", json=THERMOSTAT)
    assert made.status_code == 201
    assert made.headers["Location"] == made.json["url"]
    assert made.json["owner"] == "pythonista"
    read = client.get(made.json["url"])
    assert read.json == made.json
    assert read.headers["ETag"] == made.headers["ETag"]
    assert client.delete(made.json["url"]).status_code == 204
    assert client.get(made.json["url"]).status_code == 404
