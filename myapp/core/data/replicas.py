"""Reads from streaming replicas of PostgreSQL, those that SQLALCHEMY_REPLICA_URIS names.

A replica is read only while it is known to hold all that was committed until
REPLICA_MAX_LAG seconds ago. Whoever has written reads the primary for as long, so that
everybody reads their own writes, whichever host answers: Redis remembers who they are.
While the primary is away the replicas answer with what they have.
"""

import time
from collections import deque
from contextlib import suppress
from threading import Lock, Thread

from flask import current_app, g
from redis.exceptions import RedisError
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from ..events import happened
from .redis import redis_store

EVERY = 1.0  # seconds between two looks at a server, in each process
AWAY = 1.0  # seconds without another try after Redis has not answered
WAITS = {"connect_timeout": 2, "tcp_user_timeout": 2000}  # s, ms; others are there
COMMITTED = "SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint"
REPLAYED = "SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint"
# A replica that was promoted is none any more: who needs the primary names both.
REPLAYED += " WHERE pg_is_in_recovery()"


def of(app, primary, options):
    """The Replicas of `app`, whose primary is read on the engine `primary`, and theirs on
    engines with the same `options`; None where it has none."""
    uris = app.config["SQLALCHEMY_REPLICA_URIS"]
    if not uris:
        return None
    options = options | {"connect_args": options["connect_args"] | WAITS}
    engines = [create_engine(uri, **options) for uri in uris]
    return Replicas(primary, engines, app.config["REPLICA_MAX_LAG"])


def wrote():
    """Remember that the caller, and whomever the trail told of, has just written, or
    was just told what stands at the primary."""
    replicas = current_app.extensions["replicas"]
    if replicas:
        accounts = g.pop("befallen", set())
        if "caller" in g:
            accounts.add(g.caller.id)
        replicas.remember(accounts)


@happened.connect
def note(_sender, account_id, **_):
    """An account that came to be, or signed in, has not called, but will."""
    g.setdefault("befallen", set()).add(account_id)


class Server:
    """A PostgreSQL server, and what was seen when it was last looked at.

    `away`: whether it did not answer, or is not what we take it for. `position`: how
    far its log of changes went, in bytes. `looking`: held while somebody looks.
    """

    def __init__(self, engine, position):
        self.engine = engine
        self.away = False
        self.position = 0
        self._question = text(position)
        self._looked = float("-inf")
        self.looking = Lock()

    def look(self):
        """Have it looked at, if that was not done lately; nobody waits for that."""
        if time.monotonic() - self._looked < EVERY:
            return
        if self.looking.acquire(blocking=False):
            Thread(target=self._look, daemon=True).start()

    def _look(self):
        now = time.monotonic()
        try:
            position = self._ask()
            self.away = position is None
            if position is not None:
                self.position = position
                self.seen(now)
        finally:
            self._looked = time.monotonic()
            self.looking.release()

    def _ask(self):
        """How far it is; None: it does not tell."""
        for _ in range(2):  # the first connection may be older than the server
            with suppress(SQLAlchemyError), self.engine.connect() as connection:
                return connection.scalar(self._question)

    def seen(self, now):
        """Called with the time before a question that was answered."""


class Primary(Server):
    """The server that takes writes. `past`: when its log had gone how far, lately."""

    def __init__(self, engine, max_lag):
        super().__init__(engine, COMMITTED)
        self.past = deque(maxlen=int(max_lag / EVERY) + 1)

    def seen(self, now):
        self.past.append((now, self.position))


class Replica(Server):
    """A server that repeats what the primary does. `as_of`: it holds whatever was
    committed before that time, at least."""

    def __init__(self, engine, primary):
        super().__init__(engine, REPLAYED)
        self.as_of = float("-inf")
        self._primary = primary

    def seen(self, now):
        for then, position in list(self._primary.past):
            if position <= self.position:
                self.as_of = max(self.as_of, then)


class Replicas:
    """The servers of one application, as this process sees them."""

    def __init__(self, primary, engines, max_lag):
        self.primary = Primary(primary, max_lag)
        self.all = [Replica(engine, self.primary) for engine in engines]
        self._max_lag = max_lag
        self._redis_back_at = 0.0

    def engines(self):
        """Where to read now, each for when the one before has lost its connection."""
        tried = []
        while (server := self._chosen()) not in tried:
            tried.append(server)
            yield server.engine
            yield server.engine  # it may have been started anew
            server.away = True
            g.pop("server", None)

    def _chosen(self):
        """The Server of this request; chosen once, when it first reads for its caller."""
        if "caller" not in g:
            return self.choose(None)
        if "server" not in g:
            g.server = self.choose(g.caller)
        return g.server

    def choose(self, caller):
        """The Server that answers this caller, an account; or nobody yet, None, while
        the guard looks who it is: what it learns must be fresh."""
        for server in (self.primary, *self.all):
            server.look()
        alive = [replica for replica in self.all if not replica.away]
        if self.primary.away and alive:
            return max(alive, key=lambda replica: replica.position)
        if caller and any(map(self._fresh, alive)) and not self._has_written(caller):
            # Looked at again: the mark in Redis is good for just as long as they are.
            fresh = [replica for replica in alive if self._fresh(replica)]
            if fresh:  # always the same one, so that time does not seem to run back
                return fresh[caller.id % len(fresh)]
        return self.primary

    def remember(self, accounts):
        """These have written just now."""
        try:
            for id in accounts:
                redis_store.set(mark(id), 1, px=int(self._max_lag * 1000))
        except RedisError:
            pass  # nor will others be able to look, and so they read the primary

    def _fresh(self, replica):
        return time.monotonic() - replica.as_of < self._max_lag

    def _has_written(self, caller):
        if time.monotonic() < self._redis_back_at:
            return True
        try:
            return redis_store.exists(mark(caller.id))
        except RedisError:
            self._redis_back_at = time.monotonic() + AWAY
            return True


def mark(id):
    """The key that stands in Redis while an account has just written."""
    return f"wrote:{id}"
