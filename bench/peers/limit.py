"""The limit: the same responses with only WSGI, the driver and orjson.

There are no checks and no authentication: the token is the id of the account.
"""

import os
import sqlite3
from datetime import UTC, datetime
from functools import cache
from urllib.parse import parse_qs

import orjson
import psycopg

URL = os.environ["DATABASE_URL"]
SQLITE = URL.startswith("sqlite:///")
WRITTEN = "name", "location", "type", "model", "serial_number"
SHOWN = "id", *WRITTEN, "owner", "created_at", "updated_at"
READ = f"""
SELECT devices.id, {", ".join(WRITTEN)}, username, devices.created_at, devices.updated_at
FROM devices JOIN users ON users.id = owner_id WHERE owner_id = %s
"""
ONE = READ + "AND devices.id = %s"
PAGE = READ + "ORDER BY devices.id LIMIT %s"
COUNT = "SELECT count(*) FROM devices WHERE owner_id = %s"
WRITE = f"""
INSERT INTO devices
    (owner_id, {", ".join(WRITTEN)}, created_at, updated_at, search, version)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, '', 1)
RETURNING id, (SELECT username FROM users WHERE users.id = owner_id)
"""
SLASH = "/api/v1/devices/"


@cache  # opened after the fork
def connection():
    if SQLITE:
        return sqlite3.connect(URL.removeprefix("sqlite:///"), isolation_level=None)
    connection = psycopg.connect(URL, autocommit=True)
    connection.prepare_threshold = 0
    return connection


def run(statement, *values):
    if SQLITE:
        statement = statement.replace("%s", "?")
    return connection().execute(statement, values)


def as_json(row, root):
    device = {"url": f"{root}{SLASH}{row[0]}", **dict(zip(SHOWN, row))}
    if SQLITE:
        for name in ("created_at", "updated_at"):
            device[name] = f"{device[name][:19].replace(' ', 'T')}Z"
    return device


def app(environ, start_response):
    root = f"http://{environ['HTTP_HOST']}"
    owner = int(environ["HTTP_AUTHORIZATION"].removeprefix("Bearer "))
    id = environ["PATH_INFO"].removeprefix(SLASH)
    status = "200 OK"
    if environ["REQUEST_METHOD"] == "POST":
        body = orjson.loads(environ["wsgi.input"].read())
        values = [body[name] for name in WRITTEN]
        now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
        moment = now.isoformat(" ", "microseconds") if SQLITE else now
        row = run(WRITE, owner, *values, moment, moment)
        id, name = row.fetchone()
        result = as_json((id, *values, name, moment, moment), root)
        status = "201 Created"
    elif id:
        row = run(ONE, owner, int(id)).fetchone()
        if not row:
            start_response("404 Not Found", [("Content-Length", "0")])
            return []
        result = as_json(row, root)
    else:
        limit = int(parse_qs(environ["QUERY_STRING"])["per_page"][0])
        items = [as_json(row, root) for row in run(PAGE, owner, limit)]
        (total,) = run(COUNT, owner).fetchone()
        result = {"items": items, "meta": {"total": total}}
    data = orjson.dumps(result, option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(data)))]
    start_response(status, headers)
    return [data]
