"""A service with a record of each kind, created once for the tests of a module.

Nothing is committed: the records are in a transaction that is rolled back after the
module, and each test runs in a savepoint of it. While it is open, no other connection can
write to the shared SQLite database: a test that commits there belongs in another module.
A module opts in with an `app` of its own:

    @pytest.fixture
    def app(populated):
        return populated.app
"""

from contextlib import contextmanager
from itertools import chain
from typing import NamedTuple

import pytest
from flask import Flask
from flask.testing import FlaskClient

from conftest import roll_back, signed_in_client, use_shared
from myapp.core.data.redis import redis_store
from myapp.core.data.session import sql
from support.discovery import API, POSTS, ResourceFactory

# New names for records whose name is unique, so that a test can create their examples.
RENAMED = {
    f"{API}/roles/": {"title": "inspector"},
    f"{API}/users/": {"username": "carpenter"},
}
RESTORE = """
redis.call('FLUSHDB')
for n, key in ipairs(KEYS) do
  redis.call('RESTORE', key, ARGV[2 * n - 1], ARGV[2 * n])
end
"""
TABLES = [table.select() for table in sql.metadata.sorted_tables]


class RedisState:
    """The contents of Redis, to restore them later; `values` holds the DUMP of each key."""

    def __init__(self):
        keys = redis_store.keys()
        self.values = {key: redis_store.dump(key) for key in keys}
        self._lifetimes = [max(redis_store.pttl(key), 0) for key in keys]

    def restore(self):
        arguments = chain(*zip(self._lifetimes, self.values.values()))
        redis_store.eval(RESTORE, len(self.values), *self.values, *arguments)


def stored(app):
    """All that the database and Redis hold, for a test to compare."""
    with app.app_context():
        rows = [sorted(sql.engines[None].execute(each), key=repr) for each in TABLES]
    return rows, RedisState().values


@contextmanager
def go_back(app, redis_state):
    """Undo at the end what happens inside; for use within `roll_back`.

    `redis_state`: what Redis is to hold at the beginning.
    """
    settings = dict(app.config)
    use_shared(app)
    redis_state.restore()
    with app.app_context():
        savepoint = sql.engines[None].begin_nested()
    try:
        yield
    finally:
        savepoint.rollback()
        app.config.clear()
        app.config.update(settings)


class PopulatedService(NamedTuple):
    """An application with records.

    `client`: signed in as a user who may do everything, and who is not the last admin.
    `things`: a record of each kind, which `client` has created.
    """

    app: Flask
    client: FlaskClient
    things: ResourceFactory


@pytest.fixture(scope="module")
def module_service(shared_app):
    with roll_back(shared_app):
        client = signed_in_client(shared_app, "chief", "admin")
        signed_in_client(shared_app, "deputy", "admin")
        things = ResourceFactory(client).create_all()
        for path, change in RENAMED.items():
            things.client.patch(f"{path}{things.ids[path]}", json=change)
        redis_state = RedisState()
        with go_back(shared_app, redis_state):
            for path in things.ids.keys() & POSTS.keys():
                again = client.post(
                    things.address(path), **things.request_arguments(POSTS[path])
                )
                assert again.status_code < 300, f"Give {path} a place in RENAMED."
        yield PopulatedService(shared_app, client, things), redis_state


@pytest.fixture
def populated(module_service):
    """Return the PopulatedService of the module, and undo after the test what it did."""
    (app, client, things), redis_state = module_service
    with go_back(app, redis_state):
        yield PopulatedService(app, client, things.copy())
