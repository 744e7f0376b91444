"""Measure lost, refused and slow requests while a web host or the primary fails.

    sudo python bench/scaling.py

Five hosts, each a network namespace on one bridge: two web hosts (uWSGI, four workers
each), two databases (PostgreSQL, a primary and its streaming replica), and one in front of
them (nginx, Redis). The clients are on this machine. Four only read; four also write, in
one call of three, and read what they wrote. A write has an Idempotency-Key and is retried
until it is acknowledged. At the end every acknowledged write must be in the database.

Three rounds, three minutes in all. In the first, a web host is disconnected and returns,
then the replica; then the process of the primary is killed and the replica is promoted. In
the others, the replica is disconnected, and a second later the host of the primary is lost:
once with asynchronous replication, once with synchronous.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple
from uuid import uuid4

HERE = Path(__file__).parent.parent
sys.path[:0] = [str(HERE), str(HERE / "tests")]

import psycopg

from hosts import (
    CLIENTS,
    FRONT,
    PASSWORD,
    Trial,
    call,
    connect,
    disconnect,
    kill,
)

PAUSE_SECONDS = 0.02  # between two calls of a client
DEVICE = {"name": "Lamp", "location": "Hall", "type": "Light", "model": "LED2101G4"}


class Try(NamedTuple):
    """A request: what was sent, when it began and ended, and the response."""

    kind: str
    start: float
    end: float
    status: int


class Load:
    """The clients and their requests; `acknowledged`: serial numbers of stored devices."""

    def __init__(self):
        self.tries = []
        self.acknowledged = []
        self._over = Event()
        self._threads = []

    def __enter__(self):
        for number in range(CLIENTS):  # one after another, because hashing takes long
            credentials = {"username": f"client{number}", "password": PASSWORD}
            status, body = call(FRONT, "POST", "/api/v1/auth/login", credentials)
            headers = {"Authorization": f"Bearer {json.loads(body)['access_token']}"}
            thread = Thread(target=self._client, args=(number, headers), daemon=True)
            self._threads.append(thread)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _call(self, kind, *words, **headers):
        start = time.monotonic()
        status, body = call(FRONT, *words, **headers)
        self.tries.append(Try(kind, start, time.monotonic(), status))
        return status, body

    def _client(self, number, headers):
        dice = random.Random(number)
        devices = "/api/v1/devices/"
        while not self._over.wait(PAUSE_SECONDS):
            if number % 2 or dice.random() < 2 / 3:
                self._call("read", "GET", devices + "?total=none", **headers)
                continue
            serial = uuid4().hex
            write_headers = {**headers, "Idempotency_Key": serial}
            device = {**DEVICE, "serial_number": serial}
            status = None
            while status != 201 and not self._over.is_set():
                if status is not None:
                    time.sleep(0.2)
                status, body = self._call(
                    "write", "POST", devices, device, **write_headers
                )
            if status == 201:
                self.acknowledged.append(serial)
                id = json.loads(body)["id"]
                self._call("own", "GET", f"{devices}{id}", **headers)

    def print_requests(self, what, event, until=float("inf")):
        """Print the requests between two times."""
        print(f"  {what}")
        for kinds, name in ((("read", "own"), "reads"), (("write",), "writes")):
            selected = [t for t in self.tries if t.kind in kinds]
            selected = [t for t in selected if t.end > event and t.start < until]
            successes = sorted(t.end for t in selected if t.status in (200, 201))
            failures = [t for t in selected if t.status not in (200, 201)]
            gap = max(
                (b - a for a, b in zip([event, *successes], successes)), default=0
            )
            words = (
                f"{len(selected)} {name}, {len(failures)} failed",
                f"slowest {max((t.end - t.start for t in selected), default=0):.1f} s",
                f"longest time without a response {gap:.1f} s",
            )
            print(f"    {'; '.join(words)}", flush=True)
            if failures:
                last = max(t.end for t in failures) - event
                why = dict(Counter(t.status for t in failures))
                print(f"      the last failure after {last:.1f} s; by status: {why}")

    def count_stale_reads(self):
        """Return the number of writes that their writer could not read afterwards."""
        return sum(t.status == 404 for t in self.tries if t.kind == "own")


def run_round(name, synchronous, all_failures):
    print(f"\n{name}", flush=True)
    with ExitStack() as stack:
        trial = Trial(stack, synchronous)
        with Load() as load:
            start = time.monotonic()
            time.sleep(5)
            event = time.monotonic()
            count = (
                "SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'"
            )
            load.print_requests("no failure, 5 s", start, event)
            shares = {db: trial.query(db, count) for db in ("db1", "db2")}
            print(f"    transactions since the start: {shares}")
            for host, words in (("web2", "a web host"), ("db2", "the replica")):
                if all_failures:
                    interrupt(host, words, load)
            if not all_failures:
                disconnect("db2")
                time.sleep(1)
                # Otherwise packets in transit would arrive after its death.
                disconnect("db1")
            event = time.monotonic()
            kill("db1")
            connect("db2")
            trial.query("db2", "SELECT pg_promote()")
            promoted = time.monotonic() - event
            time.sleep(15)
        load.print_requests(
            f"the primary lost; the replica promoted {promoted:.1f} s later", event
        )
        with psycopg.connect(trial.address("db2")) as connection:
            rows = connection.execute("SELECT serial_number FROM devices").fetchall()
        stored = Counter(serial for (serial,) in rows)
        lost = sum(serial not in stored for serial in load.acknowledged)
        twice = sum(count > 1 for count in stored.values())
        print(
            f"  at the end: {len(load.acknowledged)} writes acknowledged, {lost} lost, "
            f"{twice} stored twice; {load.count_stale_reads()} not found by their writer",
            flush=True,
        )


def interrupt(host, words, load):
    event = time.monotonic()
    disconnect(host)
    time.sleep(8)
    back = time.monotonic()
    connect(host)
    time.sleep(5)
    load.print_requests(f"{words} disconnected for 8 s", event, back)
    load.print_requests("connected again", back)


def main():
    if os.getuid():
        sys.exit("Network namespaces need root.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if not shutil.which("ip"):
        subprocess.run(["apt-get", "install", "-y", "-qq", "iproute2"], check=True)
    run_round("Asynchronous replication", False, True)
    run_round("Asynchronous replication, two hosts lost", False, False)
    run_round("Synchronous replication, two hosts lost", True, False)


if __name__ == "__main__":
    main()
