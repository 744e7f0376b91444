"""Redis with Sentinels or as a Cluster: storage, rate limits and the login throttle."""

import json
import time

import pytest
from redis.exceptions import RedisError

from conftest import LAMP, as_account, create_tables_and_accounts
from myapp.core.data.redis import redis_store
from myapp.core.jobs.schedule import periodic_tasks
from myapp.core.settings import SettingError
from support.features.sample_signals.models import SampleSignal
from support.redis_servers import PASSWORD, QUOTED, cluster, wait_until, watched_pair

GADGETS = "/api/v1/sample_gadgets/"
SIGNALS = "/api/v1/sample_signals/"


@pytest.fixture
def live(make_app, empty_uri, redis_url):
    """Make an application on a database of its own and this Redis."""

    def live(address):
        stores = {"SQLALCHEMY_DATABASE_URI": empty_uri, "REDIS_URL": address}
        stores["BROKER_URL"] = redis_url  # a Cluster cannot carry tasks
        limits = {"USE_RATE_LIMITS": True, "RATE_LIMIT": "1000 per minute"}
        app = make_app(**stores, **limits)
        create_tables_and_accounts(app)
        return app

    return live


@pytest.fixture
def cluster_address(tmp_path):
    """Yield the URL of a Cluster of three."""
    with cluster(tmp_path) as address:
        yield address


@pytest.fixture
def sentinel_address(tmp_path):
    """Yield the URL of a service that a Sentinel watches, and the process of its master."""
    with watched_pair(tmp_path) as address:
        yield address


def signals_work(app):
    """Create a signal of a new gadget, and check that it is shown, listed and counted."""
    client = as_account(app, "pythonista")
    id = client.post(GADGETS, json=LAMP).json["id"]
    taken = client.put(f"{SIGNALS}{id}", json={"battery": 12})
    if taken.status_code == 503:
        return False
    assert taken.status_code == 201
    assert client.get(f"{SIGNALS}{id}").json["battery"] == 12
    listed = client.get(SIGNALS, query_string={"sort": "-id"}).json
    assert id in [item["id"] for item in listed["items"]]
    with app.app_context():
        assert SampleSignal.count() == listed["meta"]["total"]
    assert client.delete(f"{SIGNALS}{id}").status_code == 204
    assert client.get(f"{SIGNALS}{id}").status_code == 404
    return True


def assert_everything_works(app):
    """Assert that signals, sweeps, rate limits and the login throttle use Redis."""
    assert signals_work(app)
    client = as_account(app, "pythonista")
    id = client.post(GADGETS, json=LAMP).json["id"]
    client.put(f"{SIGNALS}{id}", json={})
    with app.app_context():
        assert periodic_tasks()["sample_signals.count"].run() == "1 signals"
    left = [int(client.get(GADGETS).headers["X-RateLimit-Remaining"]) for _ in range(3)]
    assert left == [left[0], left[0] - 1, left[0] - 2]
    guess = {"username": "pythonista", "password": "wrong"}
    app.test_client().post("/api/v1/auth/login", json=guess)
    assert app.extensions["rate_counter"]._back_at == 0.0, "nothing was counted alone"


def test_everything_works_in_a_cluster(live, cluster_address):
    app = live(cluster_address)
    assert_everything_works(app)
    assert app.test_client().get("/status/ready").json["redis"] == "ok"


def test_everything_works_with_sentinels(live, sentinel_address):
    address, _ = sentinel_address
    assert_everything_works(live(address))
    assert redis_store.connection_pool.get_master_address()


def test_when_the_master_dies_its_successor_is_used(live, sentinel_address):
    address, master = sentinel_address
    app = live(address)
    assert signals_work(app)
    master.kill()
    began = time.monotonic()
    assert not signals_work(app)
    wait_until(lambda: signals_work(app), RedisError)
    print(f"Redis was back after {time.monotonic() - began:.1f} s")


def redis_as_the_doctor_sees_it(app):
    result = app.test_cli_runner().invoke(args=["doctor", "--json"])
    data = json.loads(result.stdout)
    return [f for f in data if f["check"] in ("redis", "clocks")]


@pytest.mark.parametrize("kind", ["cluster_address", "sentinel_address"])
def test_the_doctor_supports_sentinels_and_clusters(live, kind, request):
    address = request.getfixturevalue(kind)
    app = live(address if kind == "cluster_address" else address[0])
    redis, clocks = redis_as_the_doctor_sees_it(app)
    assert (redis["level"], redis["hint"]) == ("wrong", "appendonly yes")
    assert clocks["level"] == "ok"
    redis_store.config_set("appendonly", "yes")
    redis, _ = redis_as_the_doctor_sees_it(app)
    assert redis["level"] == "ok" and redis["message"].startswith("Valkey ")
    assert QUOTED not in redis["message"] and PASSWORD not in redis["message"]


@pytest.mark.parametrize("scheme", ["redis+cluster", "redis+sentinel"])
def test_without_its_servers_only_its_models_are_unavailable(live, scheme):
    app = live(f"{scheme}://127.0.0.1:1/service")
    client = as_account(app, "pythonista")
    gadget = client.post(GADGETS, json=LAMP)
    assert gadget.status_code == 201
    assert client.get(f"{SIGNALS}{gadget.json['id']}").status_code == 503
    assert app.test_client().get("/status/ready").json["redis"] == "does not answer"


SENTINEL, CLUSTER = "redis+sentinel://", "redis+cluster://"
INVALID = [SENTINEL + rest for rest in ("host:1", "host/service", "host:1/service/one")]
INVALID += [CLUSTER, f"{CLUSTER}host:1,host", "redis+else://host:1"]


@pytest.mark.parametrize("url", INVALID)
def test_an_invalid_address_is_refused(make_app, url):
    with pytest.raises(SettingError, match="REDIS_URL is not valid"):
        make_app(REDIS_URL=url, BROKER_URL="redis://127.0.0.1:1")


def test_a_cluster_needs_a_broker_beside_it(make_app):
    with pytest.raises(SettingError, match="BROKER_URL must name a Redis"):
        make_app(REDIS_URL="redis+cluster://127.0.0.1:1")
