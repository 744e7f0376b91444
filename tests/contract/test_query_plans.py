"""For every page the database reads a range of an index, and sorts nothing.

The statements of a request are sent to the database once more, with EXPLAIN. The
database counts the rows that it reads; SQLite only shows its plan.
"""

import json
import re
from datetime import datetime, timedelta
from typing import NamedTuple

import pytest
from sqlalchemy import text

from conftest import (
    PASSWORDS,
    as_account,
    close_stores,
    create_tables_and_accounts,
    empty_database,
    record_statements,
    signed_in_client,
)
from myapp.core.data.models.child import ChildOf
from myapp.core.data.models.columns import indexable_fields
from myapp.core.data.models.owned import Owned
from myapp.core.data.models.sql_model import SqlModel
from myapp.core.data.session import sql, unit_of_work
from myapp.core.schema.serialization import dumps
from myapp.users.models import User
from support import discovery
from support.discovery import COLLECTION_OF_MODEL, distinct_value, with_placeholder_ids

# Records with an owner or a parent are found quickly, however many there are. The
# records that they refer to exist, too.
STOCKED = [
    model
    for model in discovery.MODELS.values()
    if issubclass(model, SqlModel)
    and (issubclass(model, (Owned, ChildOf)) or model in COLLECTION_OF_MODEL)
]
MODELS = [model for model in STOCKED if issubclass(model, (Owned, ChildOf))]
AT = {
    collection.model: collection.path for collection in discovery.COLLECTIONS.values()
}
MOMENTS = "created_at", "updated_at"
OWNERS, EACH = 10, 300  # accounts, and records of each kind for each of them
ALIKE = 12  # different values of a property
SIZE = 5  # items on a page
LONG_AGO = datetime(2026, 1, 1)
BESIDE = "next", "prev"  # links with a cursor
SORTS = [
    (model, sign + name)
    for model in MODELS
    for name in model.sortable
    for sign in ("", "-")
]
FILTERS = [
    (model, name)
    for model in MODELS
    for name in indexable_fields(model.filters)
    if name != getattr(model, "parent_field", None)
]


class Plan(NamedTuple):
    """The plan of the database for a statement.

    `index`: the conditions of the index search, in the database's own words; None
    without an index. `sorts`: True if it sorts. `rows`: the number of rows read, or
    None if the database does not tell.
    """

    index: str | None
    sorts: bool
    rows: int | None


def rows_of(model):
    properties = model.write_schema["properties"]
    for number in range(EACH):
        few = number % ALIKE
        values = {
            name: distinct_value(schema, number if name in model.unique else few)
            for name, schema in properties.items()
        }
        there = {name: few + 1 for name in model.references}
        moments = dict.fromkeys(MOMENTS, LONG_AGO + timedelta(days=few))
        yield model.body.validate(values | there) | moments


def scopes_of(model, owners):
    """Return the scopes of a model: one for each owner or parent, or an empty one."""
    if issubclass(model, ChildOf):
        return [{model.parent_field: id} for id in range(1, OWNERS + 1)]
    return [{"owner_id": id} for id in owners] if issubclass(model, Owned) else [{}]


@pytest.fixture(scope="module")
def filled_app(make_app, tmp_path_factory):
    """Yield an application whose database holds records of many owners, with statistics."""
    with empty_database(tmp_path_factory.mktemp("plans")) as uri:
        app = make_app(SQLALCHEMY_DATABASE_URI=uri)
        create_tables_and_accounts(app)
        for number in range(OWNERS - len(PASSWORDS)):
            signed_in_client(app, f"owner{number}")
        with app.app_context():
            with unit_of_work():
                owners = sql.session.scalars(sql.select(User.id)).all()
                for model in STOCKED:
                    for scope in scopes_of(model, owners):
                        model.create_many(rows_of(model), **scope)
            take_stock()
        yield app
        close_stores(app)


def take_stock():
    """Update the statistics, as a database server does by itself from time to time."""
    how = {"postgresql": "VACUUM ANALYZE {}", "mysql": "ANALYZE TABLE {}"}
    how["mariadb"] = how["mysql"]
    if sql.engine.dialect.name in how:
        with sql.engine.connect().execution_options(
            isolation_level="AUTOCOMMIT"
        ) as connection:
            for model in STOCKED:
                command = how[sql.engine.dialect.name].format(model.__tablename__)
                connection.execute(text(command)).close()


# The plans of the databases


def plan_in_sqlite(connection, table, statement, parameters):
    result = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
    steps = [row.detail for row in result]
    matches = [re.fullmatch(rf"SEARCH {table} USING (.*)", step) for step in steps]
    index = [match[1] for match in matches if match]
    scans = any(re.match(rf"SCAN {table}\b", step) for step in steps)
    sorts = any("USE TEMP B-TREE" in step for step in steps)
    return Plan(index[0] if index and not scans else None, sorts, None)


def nodes_in(plan):
    """Each dictionary in a plan of JSON."""
    if isinstance(plan, dict):
        yield plan
    for part in plan.values() if isinstance(plan, dict) else plan:
        if isinstance(part, dict | list):
            yield from nodes_in(part)


def plan_in_postgresql(connection, table, statement, parameters):
    explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
    nodes = list(nodes_in(connection.exec_driver_sql(explain, parameters).scalar()))
    read = [node for node in nodes if node.get("Relation Name") == table]
    bitmaps = [node for node in nodes if node.get("Node Type") == "Bitmap Index Scan"]
    index = [node.get("Index Cond") for node in bitmaps or read]
    rows = [
        node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in read
    ]
    sorts = any("Sort" in node.get("Node Type", "") for node in nodes)
    return Plan(index[0] if all(index) else None, sorts, sum(rows))


def plan_in_mariadb(connection, table, statement, parameters):
    explain = f"ANALYZE FORMAT=JSON {statement}"
    data = json.loads(connection.exec_driver_sql(explain, parameters).scalar())
    nodes = list(nodes_in(data))
    (read,) = [node for node in nodes if node.get("table_name") == table]
    parts = read.get("used_key_parts", []) if read["access_type"] != "index" else []
    index = f"{read['access_type']} {' '.join(parts)}" if parts else None
    sorts = any("filesort" in node for node in nodes)
    return Plan(index, sorts, read["r_rows"])


PLANS = {
    "sqlite": plan_in_sqlite,
    "postgresql": plan_in_postgresql,
    "mysql": plan_in_mariadb,
    "mariadb": plan_in_mariadb,
}


@pytest.fixture
def plans_of(filled_app):
    """Ask for a page of a model; returns its meta, and the Plan of each statement that
    read the model's table."""

    def plans_of(client, model, address):
        with record_statements(filled_app) as seen:
            answer = client.get(address)
        assert answer.status_code == 200
        table = model.__tablename__
        with filled_app.app_context(), sql.engine.connect() as connection:
            explain = PLANS[connection.dialect.name]
            plans = [
                explain(connection, table, *statement)
                for statement in seen
                if re.search(rf"\sFROM {table}\s", statement[0])
            ]
        return answer.json["meta"], plans

    return plans_of


@pytest.fixture
def client(filled_app):
    return as_account(filled_app, "pythonista")


# The pages


def pages_of(client, model, query):
    """Return the first page, and those that the links of a later page lead to."""
    first = f"{with_placeholder_ids(AT[model])}?per_page={SIZE}&{query}"
    meta = client.get(f"{first}&page=3").json["meta"]
    links = {rel: meta[rel] for rel in ("next", "prev", "last") if meta[rel]}
    return {"first": first, **links}


def assert_cheap(plans_of, client, model, query):
    pages = pages_of(client, model, query)
    # A page by number counts in a statement of its own; other pages return both.
    meta, (count, *_) = plans_of(client, model, f"{pages['first']}&page=2")
    assert count.index and not count.sorts
    assert count.rows in (None, meta["total"])
    for rel, address in pages.items():
        _, ranges = plans_of(client, model, f"{address}&total=none")
        assert ranges and all(plan.index and not plan.sorts for plan in ranges)
        if count.rows is None:
            # A unique field needs no id as tiebreaker.
            named = re.fullmatch("sort=-?(.*)", query)
            unique = named and named[1] in model.unique
            begins = rel in BESIDE and meta["total"] > SIZE and not unique
            assert bool(re.search(r"\bid[<>]", ranges[0].index)) is begins
        else:
            assert sum(plan.rows for plan in ranges) <= SIZE + 1
    return pages


@pytest.mark.parametrize("model, sort", SORTS)
def test_every_sort_is_an_index_read_from_where_the_page_begins(
    plans_of, client, model, sort
):
    assert len(assert_cheap(plans_of, client, model, f"sort={sort}")) == 4


@pytest.mark.parametrize("model, name", FILTERS)
def test_every_filter_is_a_range_of_an_index(plans_of, client, model, name):
    item = client.get(with_placeholder_ids(AT[model])).json["items"][-1]
    value = dumps(item[name]).decode().strip('"')
    assert_cheap(plans_of, client, model, f"{name}={value}")
