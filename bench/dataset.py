"""The data that every contender serves, and the tokens that clients send."""

import logging
import shutil
import time
from contextlib import contextmanager
from csv import DictReader
from datetime import timedelta
from itertools import islice
from pathlib import Path
from uuid import uuid4

from flask_migrate import upgrade
from joserfc import jwt
from joserfc.jwk import OctKey
from sqlalchemy import create_engine, text

from default_config import Config
from myapp import create_app
from myapp.auth.models import Session
from myapp.core.data.models.columns import now
from myapp.core.data.session import sql, unit_of_work
from myapp.core.security.tokens import ACCESS_TOKEN_TYPE, TokenSigner
from myapp.core.settings import database_uri
from myapp.devices.models import Device
from myapp.roles.models import Role
from myapp.users.models import User
from support.databases import postgresql

ROOT = Path(__file__).parents[1]

SECRET = "a public value, suitable only for this benchmark"
DAY_SECONDS = 24 * 60 * 60
ORIGIN = "https://app.example.org"
PASSWORD = "green fingers"
DEVICES = "/api/v1/devices/"

# The number of devices of each owner. The first one's have the ids 1 to 1,000.
OWNERS = {"reader": 1_000, "collector": 60_000, "neighbour": 39_000, "writer": 0}
READER_IDS = range(1, OWNERS["reader"] + 1)
FOREIGN_IDS = range(OWNERS["reader"] + 1, OWNERS["collector"])
GUESTS = 8  # accounts in a round that send their first request


def fill(url, guests):
    """Fill an empty database, and return the tokens of its accounts for the service."""
    uri = database_uri(url)
    app = create_app("testing", SQLALCHEMY_DATABASE_URI=uri, REDIS_URL="unix:///no")
    logging.getLogger("myapp").setLevel(logging.WARNING)
    issuer = TokenSigner(SECRET, (), Config.JWT_ISSUER)
    with (ROOT / "data/smart-devices.csv").open(encoding="utf-8", newline="") as file:
        bodies = [Device.body.validate(row) for row in islice(DictReader(file), 1000)]
    with app.app_context():
        upgrade()
        with unit_of_work():
            Role.ensure_builtin_roles()
            accounts = {
                name: sql.session.get(User, User.create(name, PASSWORD).id)
                for name in [*OWNERS, *guests]
            }
            for name, number in OWNERS.items():
                owner = accounts[name].id
                for _ in range(0, number, len(bodies)):
                    Device.create_many(bodies, owner_id=owner)
            tokens = {name: create_tokens(accounts[name], issuer) for name in OWNERS}
        if sql.engine.dialect.name == "postgresql":
            with sql.engine.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.execute(text("VACUUM ANALYZE"))
        sql.engine.dispose()
    return tokens


def create_tokens(account, issuer):
    """Return the tokens of an account: for the service, a peer and the limit."""
    session = Session.create(
        user_id=account.id,
        generation=account.generation,
        address="127.0.0.1",
        agent="bench",
        expires_at=now() + timedelta(seconds=DAY_SECONDS),
    )
    issued_at = int(time.time())
    claims = {
        "sub": str(account.id),
        "iat": issued_at,
        "exp": issued_at + DAY_SECONDS,
        "jti": uuid4().hex,
        "type": "access",  # required by Flask-JWT-Extended
        "token_type": "access",  # required by Simple JWT
    }
    return {
        "ours": issuer.issue(ACCESS_TOKEN_TYPE, account.id, session.id, DAY_SECONDS),
        "peer": jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET)),
        "limit": str(account.id),
    }


@contextmanager
def sqlite(folder):
    yield f"sqlite:///{folder}/base.sqlite3"


DATABASES = {"sqlite": sqlite, "postgresql": postgresql}


def copy_database(url, name):
    """Copy a database without connections, and return the URL of the copy."""
    copy = f"{url.rpartition('/')[0]}/{name}"
    if url.startswith("sqlite:"):
        shutil.copyfile(
            *(address.removeprefix("sqlite:///") for address in (url, copy))
        )
    else:
        template = url.rpartition("/")[2]
        # A connection cannot copy its own database.
        elsewhere = f"{url.rpartition('/')[0]}/template1"
        engine = create_engine(database_uri(elsewhere), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE {template}'))
        engine.dispose()
    return copy
