"""The rounds: all servers behind one nginx, and the cost of a request to each."""

import random
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import orjson
from calls import SHARED
from contenders import OWN, Server
from dataset import DATABASES, GUESTS, OWNERS, copy_database, fill
from load import cpu, drive, system_cpu, tree

from myapp.core.data.embedded_redis import start_redis
from support.nginx import running_nginx

STARTS = 3
TURN_REQUESTS = 50  # requests to one contender until the next one's turn
NGINX_SERVERS = {
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


def run_nginx(servers, folder):
    """Run nginx in front of all servers during the block, and yield its process."""
    fronts = "".join(
        NGINX_SERVERS[server.contender.asgi].format(
            host=server.host, socket=server.socket, name=server.name
        )
        for server in servers
    )
    ports = [int(server.host.partition(":")[2]) for server in servers]
    return running_nginx(folder, fronts, *ports)


class Cost(NamedTuple):
    """The cost of a round.

    CPU milliseconds per request of the server and of nginx, the share of the kernel,
    requests per second, and latencies in milliseconds.
    """

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
    result = drive(server.host, requests)
    after = cpu(pids), system_cpu(pids), cpu([front.pid])
    if tree(server.process.pid) != pids:
        sys.exit(f"{server.name} lost a worker:\n{server.log_text()}")
    is_correct = result.statuses == {call.status} and (
        not result.body or call.holds(orjson.loads(result.body), server.contender)
    )
    if not is_correct:
        sys.exit(f"{server.name}, {call.title}: {result.last}\n{server.log_text()}")
    return result, [b - a for a, b in zip(before, after)]


def mean_cost(turns):
    """Return the Cost of a round of these turns."""
    latencies = [1000 * seconds for result, _ in turns for seconds in result.latencies]
    number = len(latencies)
    times = [
        1000 * sum(parts) / number for parts in zip(*(times for _, times in turns))
    ]
    return Cost(*times, number / sum(result.wall for result, _ in turns), latencies)


@contextmanager
def stage(database, names, guests, starts=1):
    """Yield the Servers, each after several starts, and the process of nginx."""
    with ExitStack() as stack:
        enter = stack.enter_context
        folder = enter(tempfile.TemporaryDirectory(prefix="bench-"))
        database_folder = enter(tempfile.TemporaryDirectory(prefix="bench-database-"))
        url = enter(DATABASES[database](database_folder))
        _, redis_url = enter(start_redis())
        guests = [f"guest{number}" for number in range(guests)]
        log(f"{database}: {sum(OWNERS.values()):,} devices")
        tokens = fill(url, guests)
        servers = []
        for name in names:
            copy = copy_database(url, name)
            servers.append(Server(name, copy, redis_url, folder, tokens, guests))
        front = enter(run_nginx(servers, folder))
        for server in servers:
            log(f"{server.name} starts")
            for _ in range(starts - 1):
                server.start()
                server.stop()
            server.start()
            stack.callback(server.stop)
            server.start_memory = server.memory()
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
                if name in SHARED or server.name in OWN[:2]
            }
            while waiting:
                for (server, name), rest in random.sample(
                    [*waiting.items()], len(waiting)
                ):
                    turn_result = play(server, calls[name], rest[:TURN_REQUESTS], front)
                    turns[server.name, name].append(turn_result)
                    waiting[server, name] = rest[TURN_REQUESTS:]
                waiting = {key: rest for key, rest in waiting.items() if rest}
            if turn >= 0:  # the first round warms up
                for key, results in turns.items():
                    costs[key].append(mean_cost(results))
        for server in servers:
            server.end_memory = server.memory()
    return servers, costs


def log(message):
    print(message, file=sys.stderr, flush=True)
