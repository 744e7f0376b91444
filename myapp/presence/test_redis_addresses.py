"""Heartbeats in a Redis Cluster and behind Sentinels."""

import pytest

from conftest import as_account, create_tables_and_accounts
from support.redis_servers import cluster, watched_pair

from ..core.jobs.schedule import periodic_tasks
from ..core.schema.examples import example_of
from ..devices.models import Device


@pytest.fixture(params=[cluster, watched_pair])
def address(request, tmp_path):
    with request.param(tmp_path) as servers:
        yield servers if request.param is cluster else servers[0]


def test_online_devices_are_written_back_and_counted(
    make_app, empty_uri, redis_url, address
):
    uris = {"SQLALCHEMY_DATABASE_URI": empty_uri, "BROKER_URL": redis_url}
    app = make_app(**uris, REDIS_URL=address)
    create_tables_and_accounts(app)
    client = as_account(app, "pythonista")
    device = client.post("/api/v1/devices/", json=example_of(Device.write_schema))
    heartbeat = client.put(f"/api/v1/presence/{device.json['id']}", json={})
    assert heartbeat.status_code == 201
    assert client.get("/api/v1/devices/summary").json["online"] == 1
    with app.app_context():
        result = periodic_tasks()["presence.write_back"].run()
    assert result == "1 devices seen, 0 fell silent"
