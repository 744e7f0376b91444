"""Reads from the streaming replicas of PostgreSQL that SQLALCHEMY_REPLICA_URIS names.

A replica is read only while it is known to hold everything that was committed until
REPLICA_MAX_LAG seconds ago. An account that has written reads the primary for that time, so
that each account reads its own writes from every host: Redis keeps a mark for the account.
While the primary is down, the replicas serve what they have.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from threading import Lock, Thread
from typing import Any

from flask import Flask, current_app, g
from redis.exceptions import RedisError
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from ..events import security_event
from .redis import redis_store

CHECK_INTERVAL_SECONDS = 1.0  # seconds between two checks of a server, in each process
# seconds without another attempt after Redis has not answered
REDIS_RETRY_SECONDS = 1.0
TIMEOUT_OPTIONS = {
    "connect_timeout": 2,
    "tcp_user_timeout": 2000,
}  # s, ms; short, as others answer
COMMITTED_POSITION = "SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint"
REPLAYED_POSITION = "SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint"
# A promoted server is no longer a replica, and reports no position.
REPLAYED_POSITION += " WHERE pg_is_in_recovery()"


def create_replicas(
    app: Flask, primary: Engine | None, options: dict[str, Any]
) -> "Replicas | None":
    """Return the Replicas of `app`; None if it has no replicas.

    `primary`: the engine that reads from the primary. `options`: of the engines that read
    from the replicas.
    """
    uris = app.config["SQLALCHEMY_REPLICA_URIS"]
    if not uris:
        return None
    assert primary is not None  # only SQLite in memory has no engine for reads
    options = options | {"connect_args": options["connect_args"] | TIMEOUT_OPTIONS}
    engines = [create_engine(uri, **options) for uri in uris]
    return Replicas(primary, engines, app.config["REPLICA_MAX_LAG"])


def mark_writers() -> None:
    """Mark the caller, and each account that an event of this request affects, as one that
    has just written."""
    replicas = current_app.extensions["replicas"]
    if replicas:
        accounts = g.pop("affected_accounts", set())
        if "caller" in g:
            accounts.add(g.caller.id)
        replicas.mark_written(accounts)


@security_event.connect
def note_account(_sender: Any, account_id: int, **_: Any) -> None:
    """Note an account that an event affects: it is not the caller, but may call next."""
    g.setdefault("affected_accounts", set()).add(account_id)


class Server:
    """A PostgreSQL server, and its state at the last check.

    `away`: True if it did not answer, or is not the kind of server that we expect.
    `position`: of its write-ahead log, in bytes. `refresh_lock`: held while a thread checks
    it.
    """

    def __init__(self, engine: Engine, position: str) -> None:
        self.engine = engine
        self.away = False
        self.position = 0
        self._position_query = text(position)
        self._refreshed_at = float("-inf")
        self.refresh_lock = Lock()

    def refresh(self) -> None:
        """Start a check in another thread, unless the last one has just been made.

        CHECK_INTERVAL_SECONDS lie between two checks.
        """
        if time.monotonic() - self._refreshed_at < CHECK_INTERVAL_SECONDS:
            return
        if self.refresh_lock.acquire(blocking=False):
            Thread(target=self._refresh, daemon=True).start()

    def _refresh(self) -> None:
        now = time.monotonic()
        try:
            position = self._query_position()
            self.away = position is None
            if position is not None:
                self.position = position
                self.record_position(now)
        finally:
            self._refreshed_at = time.monotonic()
            self.refresh_lock.release()

    def _query_position(self) -> int | None:
        """Return the server's position; None if it reports none."""
        for _ in range(2):  # the first connection may be older than the server
            with suppress(SQLAlchemyError), self.engine.connect() as connection:
                return connection.scalar(self._position_query)
        return None

    def record_position(self, now: float) -> None:
        """Handle a successful check, which began at the time `now`."""


class Primary(Server):
    """The server that takes writes. `past_positions`: pairs of a recent time and its
    position."""

    def __init__(self, engine: Engine, max_lag: float) -> None:
        super().__init__(engine, COMMITTED_POSITION)
        self.past_positions: deque[tuple[float, int]] = deque(
            maxlen=int(max_lag / CHECK_INTERVAL_SECONDS) + 1
        )

    def record_position(self, now: float) -> None:
        self.past_positions.append((now, self.position))


class Replica(Server):
    """A server that replays the log of the primary. `fresh_until`: it holds at least
    everything that was committed before that time."""

    def __init__(self, engine: Engine, primary: Primary) -> None:
        super().__init__(engine, REPLAYED_POSITION)
        self.fresh_until = float("-inf")
        self._primary = primary

    def record_position(self, now: float) -> None:
        for then, position in list(self._primary.past_positions):
            if position <= self.position:
                self.fresh_until = max(self.fresh_until, then)


class Replicas:
    """The servers of one application, as this process sees them."""

    def __init__(
        self, primary: Engine, engines: Iterable[Engine], max_lag: float
    ) -> None:
        self.primary = Primary(primary, max_lag)
        self.all = [Replica(engine, self.primary) for engine in engines]
        self._max_lag = max_lag
        self._redis_back_at = 0.0

    def engines(self) -> Iterator[Engine]:
        """Yield engines to read on, the next one if a connection fails."""
        tried: list[Server] = []
        while (server := self._request_server()) not in tried:
            tried.append(server)
            yield server.engine
            yield server.engine  # the server may have been restarted
            server.away = True
            g.pop("server", None)

    def _request_server(self) -> Server:
        """Return the server of this request, chosen at the first read for its caller."""
        if "caller" not in g:
            return self.choose(None)
        if "server" not in g:
            g.server = self.choose(g.caller)
        return g.server

    def choose(self, caller: Any) -> Server:
        """Return the server that reads for a caller, an Account.

        `caller` is None during authentication, which must read current data.
        """
        for server in (self.primary, *self.all):
            server.refresh()
        alive = [replica for replica in self.all if not replica.away]
        if self.primary.away and alive:
            return max(alive, key=lambda replica: replica.position)
        if caller and any(map(self._is_fresh, alive)) and not self._has_written(caller):
            # Checked again, because the mark in Redis may have expired since.
            fresh = [replica for replica in alive if self._is_fresh(replica)]
            if fresh:  # always the same one, so that reads never go back in time
                return fresh[caller.id % len(fresh)]
        return self.primary

    def mark_written(self, accounts: Iterable[int]) -> None:
        """Mark accounts, by their ids, as ones that have just written."""
        try:
            for id in accounts:
                redis_store.set(written_key(id), 1, px=int(self._max_lag * 1000))
        except RedisError:
            pass  # without Redis, every process reads the primary

    def _is_fresh(self, replica: Replica) -> bool:
        return time.monotonic() - replica.fresh_until < self._max_lag

    def _has_written(self, caller: Any) -> bool:
        if time.monotonic() < self._redis_back_at:
            return True
        try:
            return bool(redis_store.exists(written_key(caller.id)))
        except RedisError:
            self._redis_back_at = time.monotonic() + REDIS_RETRY_SECONDS
            return True


def written_key(id: int) -> str:
    """Return the key that exists in Redis while an account must read the primary."""
    return f"wrote:{id}"
