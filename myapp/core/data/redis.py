"""The Redis client, for whatever REDIS_URL names.

    redis://…, rediss://…, unix://…                          one server
    redis+sentinel://[:password@]host:port,…/service[/db]    the master that Sentinels name
    redis+cluster://[:password@]host:port,…                  a Cluster

A password goes to the servers and to the Sentinels alike.
"""

from urllib.parse import unquote, urlsplit

from flask_redis import FlaskRedis
from redis import Redis
from redis._parsers import Encoder
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.commands import CoreCommands
from redis.connection import parse_url
from redis.exceptions import ConnectionError, RedisClusterException
from redis.retry import Retry
from redis.sentinel import Sentinel

SENTINEL, CLUSTER = "redis+sentinel", "redis+cluster"


class Client:
    """What makes a client for an address; FlaskRedis asks for a class."""

    @staticmethod
    def from_url(url, **options):
        """A client, which is not connected yet. Raises ValueError."""
        scheme = urlsplit(url).scheme
        if scheme not in (SENTINEL, CLUSTER):
            parse_url(url)
            return Redis.from_url(url, **options)
        nodes, path, credentials = parts(url)
        options |= credentials
        if scheme == CLUSTER:
            return LazyCluster(nodes, options)
        service, _, database = path.partition("/")
        if not service:
            raise ValueError("the name of the service is missing")
        sentinels = Sentinel(nodes, sentinel_kwargs=dict(options), **options)
        return sentinels.master_for(service, db=int(database or 0))


def parts(url):
    """Of an address with several hosts: pairs of host and port, the path, and the
    credentials as a client takes them. Raises ValueError."""
    split = urlsplit(url)
    user, _, hosts = split.netloc.rpartition("@")
    username, _, password = user.partition(":")
    credentials = {"username": unquote(username), "password": unquote(password)}
    nodes = []
    for host in hosts.split(","):
        one = urlsplit(f"//{host}")
        if not one.hostname or not one.port:
            raise ValueError("each host needs its port")
        nodes.append((one.hostname, one.port))
    return nodes, split.path.strip("/"), {k: v for k, v in credentials.items() if v}


def broker(url):
    """The same server as Celery calls it, and its options. Raises ValueError for what
    cannot carry its messages."""
    split = urlsplit(url)
    # A request that has a task to send does not wait for a broker that is gone.
    options = {"socket_connect_timeout": 1, "socket_timeout": 3, "max_retries": 0}
    if split.scheme == "unix":
        return "redis+socket" + url.removeprefix("unix"), options
    if split.scheme == SENTINEL:
        nodes, path, credentials = parts(url)
        service, _, database = path.partition("/")
        user, at, _ = split.netloc.rpartition("@")
        end = f"/{database or 0}"
        urls = [f"sentinel://{user}{at}{host}:{port}{end}" for host, port in nodes]
        named = {"master_name": service, "sentinel_kwargs": credentials}
        return ";".join(urls), options | named
    if split.scheme == CLUSTER:
        raise ValueError("a Cluster cannot")
    return url, options


class LazyCluster(CoreCommands):
    """A client of a Cluster. To make the real one is to connect, so that waits for the
    first command; and its errors are not all RedisErrors."""

    def __init__(self, nodes, options):
        self._nodes = nodes
        self._options = options
        self._client = None

    def execute_command(self, *words, **options):
        """What the Cluster answers. Raises RedisError, as every other client does."""
        try:
            if self._client is None:
                nodes = [ClusterNode(*node) for node in self._nodes]
                self._client = RedisCluster(startup_nodes=nodes, **self._options)
            return self._client.execute_command(*words, **options)
        except RedisClusterException as error:
            raise ConnectionError("The Cluster does not answer.") from error

    def get_encoder(self):
        """How a script becomes bytes."""
        return Encoder("utf-8", "strict", False)


# A server that is gone must fail a call at once: by default the client tries for seconds.
QUICK = {
    "retry": Retry(NoBackoff(), 0),
    "socket_connect_timeout": 0.3,
    "socket_timeout": 0.5,
}
redis_store = FlaskRedis.from_custom_provider(Client, **QUICK)
