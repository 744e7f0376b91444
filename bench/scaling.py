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
    cut_off,
    kill,
)

PAUSE_SECONDS = 0.02  # between two calls of a client
DEVICE = {"name": "Lamp", "location": "Hall", "type": "Light", "model": "LED2101G4"}


class Try(NamedTuple):
    """A request: what was sent, when it began and ended, and the response."""

    kind: str
    began: float
    ended: float
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
            who = {"username": f"client{number}", "password": PASSWORD}
            status, body = call(FRONT, "POST", "/api/v1/auth/login", who)
            me = {"Authorization": f"Bearer {json.loads(body)['access_token']}"}
            thread = Thread(target=self._client, args=(number, me), daemon=True)
            self._threads.append(thread)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _call(self, kind, *words, **headers):
        began = time.monotonic()
        status, body = call(FRONT, *words, **headers)
        self.tries.append(Try(kind, began, time.monotonic(), status))
        return status, body

    def _client(self, number, me):
        dice = random.Random(number)
        devices = "/api/v1/devices/"
        while not self._over.wait(PAUSE_SECONDS):
            if number % 2 or dice.random() < 2 / 3:
                self._call("read", "GET", devices + "?total=none", **me)
                continue
            serial = uuid4().hex
            once = {**me, "Idempotency_Key": serial}
            device = {**DEVICE, "serial_number": serial}
            status = None
            while status != 201 and not self._over.is_set():
                if status is not None:
                    time.sleep(0.2)
                status, body = self._call("write", "POST", devices, device, **once)
            if status == 201:
                self.acknowledged.append(serial)
                id = json.loads(body)["id"]
                self._call("own", "GET", f"{devices}{id}", **me)

    def tell(self, what, event, until=float("inf")):
        """Print the requests between two times."""
        print(f"  {what}")
        for kinds, name in ((("read", "own"), "reads"), (("write",), "writes")):
            mine = [t for t in self.tries if t.kind in kinds]
            mine = [t for t in mine if t.ended > event and t.began < until]
            good = sorted(t.ended for t in mine if t.status in (200, 201))
            failed = [t for t in mine if t.status not in (200, 201)]
            gap = max((b - a for a, b in zip([event, *good], good)), default=0)
            words = (
                f"{len(mine)} {name}, {len(failed)} failed",
                f"slowest {max((t.ended - t.began for t in mine), default=0):.1f} s",
                f"longest time in which none was answered {gap:.1f} s",
            )
            print(f"    {'; '.join(words)}", flush=True)
            if failed:
                last = max(t.ended for t in failed) - event
                why = dict(Counter(t.status for t in failed))
                print(f"      the last failure after {last:.1f} s; by status: {why}")

    def stale(self):
        """Return the number of writes that their writer could not read afterwards."""
        return sum(t.status == 404 for t in self.tries if t.kind == "own")


def round_of(name, synchronous, everything):
    print(f"\n{name}", flush=True)
    with ExitStack() as stack:
        trial = Trial(stack, synchronous)
        with Load() as load:
            began = time.monotonic()
            time.sleep(5)
            event = time.monotonic()
            count = (
                "SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'"
            )
            load.tell("all well, 5 s", began, event)
            shares = {db: trial.ask(db, count) for db in ("db1", "db2")}
            print(f"    transactions since the start: {shares}")
            for host, words in (("web2", "a web host"), ("db2", "the replica")):
                if everything:
                    lose(host, words, load)
            if not everything:
                cut_off("db2")
                time.sleep(1)
                cut_off(
                    "db1"
                )  # otherwise packets in transit would arrive after its death
            event = time.monotonic()
            kill("db1")
            connect("db2")
            trial.ask("db2", "SELECT pg_promote()")
            promoted = time.monotonic() - event
            time.sleep(15)
        load.tell(
            f"the primary lost; the replica promoted {promoted:.1f} s later", event
        )
        with psycopg.connect(trial.address("db2")) as connection:
            rows = connection.execute("SELECT serial_number FROM devices").fetchall()
        there = Counter(serial for (serial,) in rows)
        lost = sum(serial not in there for serial in load.acknowledged)
        twice = sum(count > 1 for count in there.values())
        print(
            f"  in the end: {len(load.acknowledged)} writes acknowledged, {lost} lost, "
            f"{twice} there twice; {load.stale()} not found by their writer",
            flush=True,
        )


def lose(host, words, load):
    event = time.monotonic()
    cut_off(host)
    time.sleep(8)
    back = time.monotonic()
    connect(host)
    time.sleep(5)
    load.tell(f"{words} cut off for 8 s", event, back)
    load.tell("it is back", back)


def main():
    if os.getuid():
        sys.exit("Network namespaces need root.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if not shutil.which("ip"):
        subprocess.run(["apt-get", "install", "-y", "-qq", "iproute2"], check=True)
    round_of("Asynchronous replication", False, True)
    round_of("Asynchronous replication, two hosts lost", False, False)
    round_of("Synchronous replication, two hosts lost", True, False)


if __name__ == "__main__":
    main()
