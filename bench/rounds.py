"""The rounds: all servers behind one nginx, and the cost of a request to each."""

import random
import shutil
import socket
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import orjson
from calls import SHARED
from contenders import OURS, TIMEOUT_SECONDS, Server
from dataset import DATABASES, GUESTS, OWNERS, copy_database, fill
from load import cpu, drive, system_cpu, tree

from myapp.core.data.embedded_redis import start_redis
from myapp.core.processes import spawn

STARTS = 3
AT_ONCE = 50  # requests to one contender until the next one's turn
NGINX_PATH = "/usr/sbin:/usr/bin:/usr/local/bin"
NGINX = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    {servers}
}}
"""
BEFORE = {
    False: """
    server {{
        listen {host};
        location / {{
            include /etc/nginx/uwsgi_params;
            uwsgi_pass unix:{socket};
        }}
    }}
    """,
    True: """
    upstream {name} {{
        server unix:{socket};
        keepalive 16;
        keepalive_timeout 4s;  # uvicorn hangs up after five
    }}
    server {{
        listen {host};
        location / {{
            proxy_pass http://{name};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
        }}
    }}
    """,
}


@contextmanager
def nginx(servers, folder):
    """Run nginx in front of all servers during the block, and yield its process."""
    fronts = "".join(
        BEFORE[server.contender.asgi].format(
            host=server.host, socket=server.socket, name=server.name
        )
        for server in servers
    )
    configuration = Path(folder, "nginx.conf")
    configuration.write_text(NGINX.format(folder=folder, servers=fronts))
    program = shutil.which("nginx", path=NGINX_PATH)
    process = spawn([program, "-c", configuration, "-e", f"{folder}/error.log"])
    try:
        while process.poll() is None:
            if all(listens(server.host) for server in servers):
                break
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait(TIMEOUT_SECONDS)


def listens(host):
    name, port = host.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((name, int(port))) == 0


class Cost(NamedTuple):
    """The cost of a round: CPU milliseconds a request of server and nginx, the share of the
    kernel, requests per second, and latencies in milliseconds."""

    cpu: float
    system: float
    nginx: float
    throughput: float
    latencies: list


def play(server, call, requests, front):
    """Play a turn. Return its Round and CPU seconds: server, kernel, nginx.

    Exits if a response is wrong.
    """
    pids = tree(server.process.pid)
    before = cpu(pids), system_cpu(pids), cpu([front.pid])
    came = drive(server.host, requests)
    after = cpu(pids), system_cpu(pids), cpu([front.pid])
    if tree(server.process.pid) != pids:
        sys.exit(f"{server.name} lost a worker:\n{server.log_text()}")
    right = came.statuses == {call.status} and (
        not came.body or call.holds(orjson.loads(came.body), server.contender)
    )
    if not right:
        sys.exit(f"{server.name}, {call.title}: {came.last}\n{server.log_text()}")
    return came, [b - a for a, b in zip(before, after)]


def a_request(turns):
    """Return the Cost of a round of these turns."""
    latencies = [1000 * seconds for came, _ in turns for seconds in came.latencies]
    number = len(latencies)
    spent = [
        1000 * sum(parts) / number for parts in zip(*(spent for _, spent in turns))
    ]
    return Cost(*spent, number / sum(came.wall for came, _ in turns), latencies)


@contextmanager
def stage(database, names, guests, starts=1):
    """Yield the Servers, each after several starts, and the process of nginx."""
    with ExitStack() as stack:
        enter = stack.enter_context
        folder = enter(tempfile.TemporaryDirectory(prefix="bench-"))
        beside = enter(tempfile.TemporaryDirectory(prefix="bench-database-"))
        url = enter(DATABASES[database](beside))
        _, redis_url = enter(start_redis())
        guests = [f"guest{number}" for number in range(guests)]
        log(f"{database}: {sum(OWNERS.values()):,} devices")
        tokens = fill(url, guests)
        servers = []
        for name in names:
            copy = copy_database(url, name)
            servers.append(Server(name, copy, redis_url, folder, tokens, guests))
        front = enter(nginx(servers, folder))
        for server in servers:
            log(f"{server.name} starts")
            for _ in range(starts - 1):
                server.start()
                server.stop()
            server.start()
            stack.callback(server.stop)
            server.fresh = server.memory()
        yield servers, front


def measure(database, names, calls, rounds, number):
    """Play all rounds; return the stopped servers, and the Costs by contender and call."""
    costs = defaultdict(list)
    guests = GUESTS * (rounds + 1)
    with stage(database, names, guests, STARTS) as (servers, front):
        for turn in range(-1, rounds):
            log(f"round {turn + 1} of {rounds}")
            turns = defaultdict(list)
            waiting = {
                (server, name): call.requests(server, number)
                for server in servers
                for name, call in calls.items()
                if name in SHARED or server.name in OURS[:2]
            }
            while waiting:
                for (server, name), left in random.sample(
                    [*waiting.items()], len(waiting)
                ):
                    played = play(server, calls[name], left[:AT_ONCE], front)
                    turns[server.name, name].append(played)
                    waiting[server, name] = left[AT_ONCE:]
                waiting = {who: left for who, left in waiting.items() if left}
            if turn >= 0:  # the first round warms up
                for who, played in turns.items():
                    costs[who].append(a_request(played))
        for server in servers:
            server.grown = server.memory()
    return servers, costs


def log(message):
    print(message, file=sys.stderr, flush=True)
