"""The fixtures that every test uses: real stores, and a transaction rolled back."""

import gc
import os
import secrets
import shutil
import sqlite3
import threading
from base64 import b64encode
from contextlib import ExitStack, closing, contextmanager
from functools import cache, partial
from pathlib import Path

import jsonschema_rs
import pytest
from argon2 import PasswordHasher
from flask import current_app, request
from flask_migrate import upgrade
from flask_restx import Resource
from prometheus_client.parser import text_string_to_metric_families as families
from redis import Redis
from sqlalchemy import create_engine, event
from werkzeug.serving import make_server

from myapp import create_app
from myapp.core.data import migrations
from myapp.core.data.embedded_redis import start_redis
from myapp.core.data.redis import redis_store
from myapp.core.data.session import sql, unit_of_work
from myapp.core.data.statements import statement_executed
from myapp.core.openapi import document
from myapp.core.schema import operation
from myapp.core.schema.examples import example_of
from myapp.core.security import passwords, permissions
from myapp.core.security.passwords import hash_password
from myapp.core.settings import database_uri
from myapp.roles.models import Role
from myapp.users.models import User
from support.features import SERVED
from support.features.sample_gadgets.models import SampleGadget
from support.migrations import copy_migrations, use_migrations

pytest_plugins = ["support.accounts", "support.background", "support.populated"]

# PostgreSQL or MariaDB; None: SQLite
DATABASE_SERVER = os.environ.get("TEST_DATABASE_URL")
# without a database number; None: Valkey
REDIS_SERVER = os.environ.get("TEST_REDIS_URL")

PASSWORDS = {"pythonista": "I<3testing", "engineer": "Muh5devices"}
SHARED_PASSWORD = "correct horse battery"  # of the accounts that tests create
LAMP = example_of(SampleGadget.write_schema)
THERMOSTAT = {
    "name": "Kitchen Thermostat",
    "location": "Kitchen",
    "type": "Thermostat",
    "model": "Acova TAFFETAS2",
    "serial_number": "ACOV-09494",
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """Return one more than the number of cores, because many tests only wait."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(config, items):
    """On a database server, leave out the tests for which it makes no difference."""
    left_out = [
        item
        for item in items
        if DATABASE_SERVER and item.get_closest_marker("no_database")
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish():
    """Exclude all present objects from garbage collection, to save a tenth of the time."""
    gc.collect()
    gc.freeze()


def basic(username, password):
    """Return the Authorization header of these credentials."""
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode()


def as_account(app, username):
    """Return a test client that signs in with HTTP Basic."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = basic(username, PASSWORDS[username])
    return client


cached_hash = cache(hash_password)  # a hash is slow on purpose


def signed_in_client(app, username, role="user"):
    """Return a client that is signed in as a new account of that role."""
    with app.app_context(), unit_of_work():
        account = User(
            username=username,
            name_key=username.lower(),
            password_hash=cached_hash(SHARED_PASSWORD),
            role_id=Role.by_title(role).id,
            status="normal",
        )
        account.search = account.search_text()
        sql.session.add(account)
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = basic(username, SHARED_PASSWORD)
    return client


# A hash is slow on purpose, and tests compute hundreds: same function, lower cost.
CHEAP_PARAMETERS = {"time_cost": 1, "memory_cost": 1024, "parallelism": 1}
passwords.hasher = PasswordHasher(**CHEAP_PARAMETERS)
cached_hash(SHARED_PASSWORD)  # now, before a test changes the hasher


@pytest.fixture(scope="session")
def redis_url():
    """Yield the URL of a Redis, or of one of its databases, that no other process uses."""
    if not REDIS_SERVER:
        with start_redis() as (_process, url):
            yield url
        return
    number = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    url = f"{REDIS_SERVER.rstrip('/')}/{number}"
    with Redis.from_url(url) as redis:
        redis.flushdb()
    yield url


@pytest.fixture(scope="session", autouse=True)
def migrations_with_samples(tmp_path_factory):
    """Let the migrations of this process create the tables of the sample features."""
    folder = copy_migrations(tmp_path_factory.mktemp("migrations") / "migrations")
    with pytest.MonkeyPatch.context() as patch:
        use_migrations(patch, folder)
        yield


@pytest.fixture(scope="session")
def make_app(redis_url, tmp_path_factory, migrations_with_samples):
    """Make an application with settings of its own, on a database with the accounts."""
    instance = str(tmp_path_factory.mktemp("instance"))
    with empty_database(tmp_path_factory.mktemp("sql")) as uri:
        shared, apps = {"SQLALCHEMY_DATABASE_URI": uri, "REDIS_URL": redis_url}, []

        def make(**settings):
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("INSTANCE_PATH", os.environ.get("INSTANCE_PATH", instance))
                app = create_app("testing", features=SERVED, **(shared | settings))
            apps.append(app)
            return app

        create_tables_and_accounts(make())
        yield make
        for app in apps:
            close_stores(app)


@contextmanager
def empty_database(folder, server=DATABASE_SERVER):
    """Yield the URL of a new, empty database.

    It is on `server`, or, without one, a SQLite file in `folder`.
    """
    name = f"test_{secrets.token_hex(8)}"
    if not server:
        yield f"sqlite:///{folder}/{name}.sqlite3"
        return
    engine = create_engine(database_uri(server), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield engine.url.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            if engine.name == "postgresql":  # it refuses while clients are connected
                name += " WITH (FORCE)"
            connection.exec_driver_sql(f"DROP DATABASE {name}")
        engine.dispose()


def close_stores(app):
    """Close all connections, and prevent background checks from opening new ones."""
    with app.app_context(), ExitStack() as refresh_locks:
        replicas = app.extensions["replicas"]
        for server in (replicas.primary, *replicas.all) if replicas else ():
            refresh_locks.enter_context(server.refresh_lock)
        statements = app.extensions["statements"]
        for engine in statements.engines():
            statements.release_connections(engine)
            engine.dispose()


def create_tables_and_accounts(app):
    """Create the tables and the two accounts in an empty database.

    An SQLite file that does not exist yet becomes a copy of the first one that the same
    migrations have filled in this process.
    """
    with app.app_context():
        file = sql.engine.url.database
        is_new = sql.engine.name == "sqlite" and not os.path.exists(file)
        if is_new and migrations.MIGRATIONS in MIGRATED_FILES:
            Path(file).write_bytes(MIGRATED_FILES[migrations.MIGRATIONS])
            return
        upgrade()
        with unit_of_work():
            Role.ensure_builtin_roles()
            for username, password in PASSWORDS.items():
                User.create(username, password)
        if is_new:
            with closing(sqlite3.connect(file)) as connection:
                MIGRATED_FILES[migrations.MIGRATIONS] = connection.serialize()


MIGRATED_FILES = {}  # SQLite files, by the folder of their migrations


@pytest.fixture(scope="session")
def shared_app(make_app):
    app = make_app()
    app.extensions[
        "authenticator"
    ].dummy_hash  # created now, before a test changes the hasher
    documented = {
        (path, verb): operation["responses"]
        for path, verb, operation in document.iter_operations(app, SERVED)
    }
    # The function that is registered first sees the response last, in its final form.
    app.after_request_funcs[None].insert(0, partial(check_documented, documented))
    app.extensions["redis_client"] = redis_store._redis_client
    with app.app_context():
        sql.session.configure(join_transaction_mode="create_savepoint")
        run_savepoints_uncompiled(sql.engine.dialect)
    return app


def run_savepoints_uncompiled(dialect):
    """Make savepoints cheap.

    SQLAlchemy would compile the statement of each savepoint, and a test has two of them
    for each unit of work.
    """

    def runs(command):
        def run(connection, name):
            cursor = connection.connection.cursor()
            cursor.execute(f"{command} {name}")
            cursor.close()

        return run

    dialect.do_savepoint = runs("SAVEPOINT")
    dialect.do_release_savepoint = runs("RELEASE SAVEPOINT")
    dialect.do_rollback_to_savepoint = runs("ROLLBACK TO SAVEPOINT")


@contextmanager
def roll_back(app):
    """Undo all changes to the stores and settings of `app` at the end of the block."""
    settings = dict(app.config)
    use_shared(app)
    redis_store.flushdb()
    with app.app_context():
        engine = sql.engine
        connection = engine.connect()
        transaction = connection.begin()
        sql.engines[None] = connection
    statements = app.extensions["statements"]
    statements.engine, own = None, statements.engine
    try:
        yield
    finally:
        statements.engine = own
        with app.app_context():
            sql.engines[None] = engine
        transaction.rollback()
        connection.close()
        app.config.clear()
        app.config.update(settings)


def use_shared(app):
    """Reset the state that applications of a process share, and clear cached accounts."""
    # an application without the samples declares other permissions
    permissions.declare_permissions(SERVED)
    redis_store._redis_client = app.extensions["redis_client"]
    app.extensions["authenticator"].accounts.clear()


@pytest.fixture
def app(shared_app):
    """Yield the application; roll back all changes to the stores after the test."""
    with roll_back(shared_app):
        yield shared_app


VALIDATORS = {}  # by id; a schema lives as long as its application


def check_documented(documented, response):
    """Check a response against the documents of its method and status."""
    function = current_app.view_functions.get(request.endpoint)
    view = getattr(function, "view_class", None)
    if view is None or not issubclass(view, Resource) or request.method == "OPTIONS":
        return response
    method = "get" if request.method == "HEAD" else request.method.lower()
    responses = documented[document.path_of(request.url_rule), method]
    assert response.status_code != 500
    if response.status_code == 413 and "413" not in responses:  # it takes no body
        return response
    specified = responses[str(response.status_code)]
    sent = {name.lower() for name in response.headers.keys()}
    for name, header in operation.RESPONSE_HEADERS.items():
        if name.lower() in sent:
            assert name in specified["headers"], "an undocumented header"
        else:
            assert name not in specified["headers"] or not header["required"], name
    content = specified.get("content", {})
    assert response.mimetype in content or response.status_code in (204, 304)
    if response.mimetype == "application/json" and not response.content_encoding:
        schema = content["application/json"]["schema"]
        if id(schema) not in VALIDATORS:  # compiling takes longer than validating
            VALIDATORS[id(schema)] = jsonschema_rs.validator_for(
                schema, validate_formats=True
            )
        VALIDATORS[id(schema)].validate(response.json)
    return response


@contextmanager
def record_statements(app):
    """Yield a list of the database's statements in the block: pairs of text and values."""
    statements = []

    def note(_connection, _cursor, text, values, *_):
        if not text.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
            statements.append((text, values))

    def read(text, values):
        statements.append((text, values))

    with app.app_context():
        engine = sql.engine
    event.listen(engine, "before_cursor_execute", note)
    with statement_executed.connected_to(read):
        yield statements
    event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
def project_app():
    """Yield the application of the project, without sample features and without stores."""
    nowhere = {"SQLALCHEMY_DATABASE_URI": "sqlite://", "REDIS_URL": "unix:///no"}
    yield create_app("testing", **nowhere)
    permissions.declare_permissions(SERVED)


@pytest.fixture
def client(app):
    """Return a client that is signed in as pythonista."""
    return as_account(app, "pythonista")


@pytest.fixture
def engineer(app):
    """Return a client that is signed in as engineer, who owns no record of pythonista."""
    return as_account(app, "engineer")


@pytest.fixture
def admin(app):
    """Return a client that is signed in as chief, an admin."""
    return signed_in_client(app, "chief", "admin")


@pytest.fixture
def stranger(app):
    """Return a client without credentials."""
    return app.test_client()


@pytest.fixture
def gadget(client):
    """Create a gadget of pythonista and return its representation."""
    return client.post("/api/v1/sample_gadgets/", json=LAMP).json


@pytest.fixture
def device(client):
    """Create a device of pythonista and return its representation."""
    return client.post("/api/v1/devices/", json=THERMOSTAT).json


@pytest.fixture
def empty_uri(tmp_path):
    """Yield the URL of an empty database for this test only."""
    with empty_database(tmp_path) as uri:
        yield uri


@pytest.fixture
def next_migration(tmp_path, monkeypatch):
    """Yield a function that adds a migration whose upgrade runs the given lines."""
    folder = shutil.copytree(migrations.MIGRATIONS, tmp_path / "migrations")
    use_migrations(monkeypatch, folder)
    head = "".join(migrations.head_revisions())

    def add(*lines):
        file = folder / "versions" / "20261201_colour.py"
        body = "\n    ".join(lines)
        file.write_text(
            "import sqlalchemy as sa\n"
            "from alembic import op\n"
            f"revision, down_revision = 'c0101', '{head}'\n"
            f"def upgrade():\n    {body}\n"
        )
        forget()

    def forget():
        migrations.head_revisions.cache_clear()
        migrations.known_revisions.cache_clear()

    yield add
    forget()


@pytest.fixture
def live_app(make_app, empty_uri):
    """Yield an application on its own database, where committed changes stay."""
    app = make_app(SQLALCHEMY_DATABASE_URI=empty_uri)
    create_tables_and_accounts(app)
    redis_store.flushdb()
    yield app
    close_stores(app)


@pytest.fixture
def live_server(live_app):
    """Yield the URL of a service that listens on a port."""
    server = make_server("127.0.0.1", 0, live_app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def metric_increase(stranger):
    """Return a function that returns the increase of a sample since the test began."""

    def samples():
        return {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in families(stranger.get("/metrics").text)
            for sample in family.samples
        }

    def increase(name, **labels):
        key = (name, *sorted(labels.items()))
        return samples().get(key, 0) - before.get(key, 0)

    before = samples()
    return increase
