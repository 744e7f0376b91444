"""Measure calls for an owner of 1,000, 100,000 and 3,000,000 devices.

    python bench/pages.py [sqlite|postgresql|mariadb]

Each collection has its own database in a temporary folder; on MariaDB the largest has a
million. The three sizes take turns, call by call. The result is the median of the
milliseconds from request to response, through the whole application and the database,
without a network. A ratio is to the smallest collection. It takes some minutes, mostly to
register the devices.
"""

import logging
import sys
import tempfile
import time
from base64 import b64encode
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent.parent
sys.path[:0] = [str(HERE), str(HERE / "tests")]

from flask_migrate import upgrade
from load import BODY
from sqlalchemy import create_engine, text

from myapp import create_app
from myapp.core.data.dialects import engine_options
from myapp.core.data.session import sql, unit_of_work
from myapp.core.http.pagination import DEFAULT_PAGE_SIZE
from myapp.core.settings import database_uri
from myapp.roles.models import Role
from myapp.users.models import User
from support.databases import SERVERS

SIZES = 1_000, 100_000, 3_000_000
MARIADB_SIZES = 1_000, 100_000, 1_000_000  # for MariaDB
NAME, PASSWORD = "gardener", "green fingers"
DEVICES = "/api/v1/devices/"
ROUNDS = 41  # calls of each kind in each collection
CALL_SECONDS = 4  # for one kind of call in all; slow calls have fewer rounds

# A tenth are lights, ten devices are in the cellar, and names are unsorted.
REGISTER = """
INSERT INTO devices (owner_id, name, location, type, model, serial_number, search,
    version, created_at, updated_at)
WITH RECURSIVE ten (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM ten WHERE n < 9),
    million (n) AS (
        SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n + 100000 * f.n
        FROM ten a, ten b, ten c, ten d, ten e, ten f),
    millions (n) AS (
        SELECT million.n + 1000000 * ten.n FROM million, ten WHERE ten.n * 1000000 < {size})
SELECT {owner}, {name}, CASE WHEN n % {hundredth} = 7 THEN 'Cellar' ELSE 'Kitchen' END,
    CASE WHEN n % 10 = 3 THEN 'Light' ELSE 'Thermostat' END,
    'Acova TAFFETAS2', 'ACOV-09494', 'kitchen thermostat acova taffetas2 acov-09494',
    1, '2026-11-21 07:40:00', '2026-11-21 07:40:00'
FROM millions WHERE n < {size} ORDER BY n
"""
NAMES = {
    "sqlite": "'Device ' || ((n * 7919) % 1000003)",
    "postgresql": "'Device ' || ((n * 7919::bigint) % 1000003)",
    "mariadb": "CONCAT('Device ', (n * 7919) % 1000003)",
}
ANALYZE = {
    "postgresql": "VACUUM ANALYZE devices",
    "mariadb": "ANALYZE TABLE devices",
}

CALLS = {
    "one device": ("", "one"),
    "first page": ("", "here"),
    "first page, total=none": ("total=none", "here"),
    "first page, total=exact": ("total=exact", "here"),
    "in the middle, by next": ("total=none", "next"),
    "in the middle, by prev": ("total=none", "prev"),
    "last page, by link": ("total=exact", "last"),
    "sorted by name": ("total=none&sort=name", "here"),
    "sorted by -name": ("total=none&sort=-name", "here"),
    "sorted by name, the middle": ("total=none&sort=name", "next"),
    "sorted by -name, the middle": ("total=none&sort=-name", "next"),
    "sorted by type, the middle": ("total=none&sort=type", "next"),
    "sorted by -type, the middle": ("total=none&sort=-type", "next"),
    "type=Light, a tenth": ("total=none&type=Light", "here"),
    "type=Light, the middle": ("total=none&type=Light", "next"),
    "location=Cellar, ten": ("total=none&location=Cellar", "here"),
    "location=Cellar, counted": ("location=Cellar", "here"),
    "owner=gardener": ("total=none&owner=gardener", "here"),
    "owner=unknown": ("total=none&owner=unknown", "here"),
    "type=Light, sorted by name": ("total=none&type=Light&sort=name", "here"),
    "location=Cellar, by name": ("total=none&location=Cellar&sort=name", "here"),
    "sort=-created_at,name": ("total=none&sort=-created_at,name", "here"),
    "q=nowhere": ("total=none&q=nowhere", "here"),
    "a new device": ("", "new"),
}


def main(server="sqlite"):
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url = server != "sqlite" and stack.enter_context(SERVERS[server](folder))
        sizes = MARIADB_SIZES if server == "mariadb" else SIZES
        clients = [
            stack.enter_context(collection(server, url, folder, size)) for size in sizes
        ]
        report(server, sizes, clients)


@contextmanager
def collection(server, url, folder, size):
    """Yield a client whose account has `size` devices, in a new database."""
    uri = f"sqlite:///{folder}/{size}.sqlite3"
    if url:
        uri = f"{url.rpartition('/')[0]}/devices{size}"
        engine = create_engine(database_uri(url), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE devices{size}"))
        engine.dispose()
    app = create_app(
        "testing",
        SQLALCHEMY_DATABASE_URI=uri,
        # Registering or counting all of them takes longer than a request may.
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(server, {}, statement_timeout=0),
        REDIS_URL="unix:///nowhere",
    )
    logging.getLogger("myapp").setLevel(logging.WARNING)
    with app.app_context():
        upgrade()
        with unit_of_work():
            Role.ensure_builtin_roles()
            owner = User.create(NAME, PASSWORD).id
            register = REGISTER.format(
                owner=owner, name=NAMES[server], size=size, hundredth=size // 10
            )
            sql.session.execute(text(register))
        if server in ANALYZE:
            with sql.engine.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.execute(text(ANALYZE[server])).close()
    client = app.test_client()
    credentials = b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Basic {credentials}"
    yield client
    with app.app_context():
        sql.engine.dispose()


def report(server, sizes, clients):
    """Print the table."""
    print(f"{server + ', ms':<30}" + "".join(f"{size:>12,}" for size in sizes))
    for name, (query, rel) in CALLS.items():
        if rel == "new":
            calls = [partial(client.post, DEVICES, json=BODY) for client in clients]
        else:
            calls = [
                partial(client.get, find_url(client, size, query, rel))
                for client, size in zip(clients, sizes)
            ]
        costs = measure(calls)
        ratios = "".join(f"{cost / costs[0]:>8.2f}" for cost in costs[1:])
        costs = "".join(f"{cost:>12.2f}" for cost in costs)
        print(f"{name:<30}{costs}{ratios}", flush=True)


def find_url(client, size, query, rel):
    """Return the URL of a call: the device in the middle, or a page."""
    if rel == "one":
        return f"{DEVICES}{size // 2}"
    first = f"{DEVICES}?{query}"
    if rel == "here":
        return first
    middle = size // DEFAULT_PAGE_SIZE // (20 if "Light" in query else 2)
    page = middle if rel != "last" else 1
    return client.get(f"{first}&page={page}").json["meta"][rel]


def measure(calls):
    """Return the median milliseconds of each call."""
    costs = [[] for _ in calls]
    end = time.perf_counter() + CALL_SECONDS
    while len(costs[0]) < 3 or (len(costs[0]) < ROUNDS and time.perf_counter() < end):
        for call, times in zip(calls, costs):
            start = time.perf_counter()
            response = call()
            times.append((time.perf_counter() - start) * 1000)
            assert response.status_code in (200, 201)
    return [median(times) for times in costs]


if __name__ == "__main__":
    main(*sys.argv[1:])
