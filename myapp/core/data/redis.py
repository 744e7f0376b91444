"""The Redis client, for each form of REDIS_URL.

    redis://…, rediss://…, unix://…                          one server
    redis+sentinel://[:password@]host:port,…/service[/db]    the master that Sentinels name
    redis+cluster://[:password@]host:port,…                  a Cluster

A password is sent to the servers and to the Sentinels.
"""

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from flask import Flask
from flask_redis import FlaskRedis  # type: ignore[import-untyped]  # it has no types
from redis import Redis
from redis._parsers import Encoder
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.commands import CoreCommands
from redis.connection import parse_url
from redis.exceptions import ConnectionError, RedisClusterException
from redis.retry import Retry
from redis.sentinel import Sentinel

SENTINEL_SCHEME, CLUSTER_SCHEME = "redis+sentinel", "redis+cluster"


class ClientFactory:
    """A factory of clients, in the form of a class that FlaskRedis requires."""

    @staticmethod
    def from_url(url: str, **options: Any) -> "Redis | LazyCluster":
        """Return a client for a URL. It connects later. Raises ValueError."""
        scheme = urlsplit(url).scheme
        if scheme not in (SENTINEL_SCHEME, CLUSTER_SCHEME):
            parse_url(url)
            return Redis.from_url(url, **options)
        nodes, path, credentials = parse_hosts(url)
        options |= credentials
        if scheme == CLUSTER_SCHEME:
            return LazyCluster(nodes, options)
        service, _, database = path.partition("/")
        if not service:
            raise ValueError("the name of the service is missing")
        sentinels = Sentinel(nodes, sentinel_kwargs=dict(options), **options)
        return sentinels.master_for(service, db=int(database or 0))


def parse_hosts(url: str) -> tuple[list[tuple[str, int]], str, dict[str, str]]:
    """Split a URL with several hosts into pairs of host and port, the path, and the
    credentials as a client takes them. Raises ValueError."""
    split = urlsplit(url)
    user, _, hosts = split.netloc.rpartition("@")
    username, _, password = user.partition(":")
    credentials = {"username": unquote(username), "password": unquote(password)}
    nodes = []
    for host in hosts.split(","):
        node = urlsplit(f"//{host}")
        if not node.hostname or not node.port:
            raise ValueError("each host needs its port")
        nodes.append((node.hostname, node.port))
    return nodes, split.path.strip("/"), {k: v for k, v in credentials.items() if v}


def broker_options(url: str) -> tuple[str, dict[str, Any]]:
    """Return the server's URL in Celery's notation, and the transport options.

    Raises ValueError for a Cluster, which Celery cannot use as a broker.
    """
    split = urlsplit(url)
    # A request that sends a task must not wait for a broker that is down.
    options = {"socket_connect_timeout": 1, "socket_timeout": 3, "max_retries": 0}
    if split.scheme == "unix":
        return "redis+socket" + url.removeprefix("unix"), options
    if split.scheme == SENTINEL_SCHEME:
        nodes, path, credentials = parse_hosts(url)
        service, _, database = path.partition("/")
        user, at, _ = split.netloc.rpartition("@")
        end = f"/{database or 0}"
        urls = [f"sentinel://{user}{at}{host}:{port}{end}" for host, port in nodes]
        master = {"master_name": service, "sentinel_kwargs": credentials}
        return ";".join(urls), options | master
    if split.scheme == CLUSTER_SCHEME:
        raise ValueError("a Cluster cannot be a broker")
    return url, options


class LazyCluster(CoreCommands):
    """A client of a Cluster that connects at its first command.

    RedisCluster connects as soon as it is created, and not all its errors are RedisErrors.
    """

    _event_dispatcher: Any  # that of the real client; nothing here uses it

    def __init__(self, nodes: list[tuple[str, int]], options: dict[str, Any]) -> None:
        self._nodes = nodes
        self._options = options
        self._client: RedisCluster | None = None

    def execute_command(self, *words: Any, **options: Any) -> Any:
        """Execute a command. Raises RedisError, as every other client does."""
        try:
            if self._client is None:
                nodes = [ClusterNode(*node) for node in self._nodes]
                self._client = RedisCluster(startup_nodes=nodes, **self._options)
            return self._client.execute_command(*words, **options)
        except RedisClusterException as error:
            raise ConnectionError("The Cluster does not answer.") from error

    def get_encoder(self) -> Encoder:
        """Return the encoder that turns a script into bytes."""
        return Encoder("utf-8", "strict", False)


if TYPE_CHECKING:

    class _RedisStore(Redis):
        """FlaskRedis, which passes each command on to the client of the application."""

        def init_app(self, app: Flask) -> None: ...


# A server that is down must fail a call at once: by default the client tries for seconds.
FAIL_FAST_OPTIONS: dict[str, Any] = {
    "retry": Retry(NoBackoff(), 0),
    "socket_connect_timeout": 0.3,
    "socket_timeout": 0.5,
}
redis_store: "_RedisStore" = FlaskRedis.from_custom_provider(
    ClientFactory, **FAIL_FAST_OPTIONS
)
