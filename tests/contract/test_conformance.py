"""The HTTP contract of every conventional feature, tried over HTTP.

A feature that fails here breaks the contract, or differs on purpose: then it has a
method or a permission of its own, and tests for that.
"""

from datetime import datetime
from typing import NamedTuple

import pytest

from myapp.core.data.models.schema_model import human_name
from myapp.core.data.session import sql, unit_of_work
from myapp.core.schema.fields import is_optional, json_types
from support.assertions import assert_problem
from support.discovery import (
    COLLECTION_OF_MODEL,
    CRUD_COLLECTIONS,
    ResourceFactory,
    distinct_value,
    is_owned,
    obey_rules,
    parametrize,
    references_of,
    unique_in,
)

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
NOWHERE = 2**62  # no id
NUMBERS = (0, 1, 0, 2, 1)  # of the records of a collection: some are equal

EVERY = parametrize("collection", CRUD_COLLECTIONS)
REFERRING = parametrize(
    "collection", [c for c in CRUD_COLLECTIONS if references_of(c.model)]
)
UNIQUE = parametrize("collection", [c for c in CRUD_COLLECTIONS if unique_in(c.model)])
BELOW = parametrize("collection", [c for c in CRUD_COLLECTIONS if c.parent])


@pytest.fixture
def things(client):
    return ResourceFactory(client)


@pytest.fixture
def theirs(engineer):
    """Return the ResourceFactory of engineer, who owns no record of pythonista."""
    return ResourceFactory(engineer)


def write_properties(collection):
    """Return the properties of a body, with their schemas."""
    return collection.model.write_schema["properties"]


def nothing(collection):
    """Return the part of a body that sets every optional property to null."""
    names = (
        n
        for n, schema in write_properties(collection).items()
        if "null" in json_types(schema)
    )
    return dict.fromkeys(names)


def written_values(item, collection):
    """Return the writable properties of an item."""
    return {name: item[name] for name in write_properties(collection)}


def faults(response):
    return {
        fault["pointer"]: fault["detail"]
        for fault in assert_problem(response, 422)["errors"]
    }


# Pages


class Shelf(NamedTuple):
    """Records of a collection, in the order in which they were created."""

    url: str
    items: list


@pytest.fixture
def stocked(client, things, collection):
    """Create five records: some share values, and one has no optional property."""
    url = things.address(collection.path)
    for number in NUMBERS[:-1]:
        things.make(collection, number)
    things.make(collection, NUMBERS[-1], **nothing(collection))
    return Shelf(url, client.get(url).json["items"])


def in_order(items, sort):
    """`items` by a field, no value last; ties by id, in the same direction."""
    name = sort.removeprefix("-")

    def key(item):
        return item[name] is None, item[name], item["id"]

    return sorted(items, key=key, reverse=sort.startswith("-"))


def walk(client, url, rel):
    """Return this page and those that the links `rel` lead to."""
    pages = []
    while url:
        pages.append(client.get(url).json)
        url = pages[-1]["meta"][rel]
        assert len(pages) < 10, f"{rel} leads in circles"
    return pages


@EVERY
def test_links_lead_through_every_record_once_and_in_order(client, stocked, collection):
    for name in collection.model.sortable:
        for sort in (name, f"-{name}"):
            expected = in_order(stocked.items, sort)
            there = walk(client, f"{stocked.url}?sort={sort}&per_page=2", "next")
            back = walk(client, there[-1]["meta"]["prev"], "prev")
            for pages in (there, back[::-1] + there[-1:]):
                results = [item["id"] for page in pages for item in page["items"]]
                assert (sort, results) == (sort, [item["id"] for item in expected])
            assert {page["meta"]["total"] for page in there + back} == {5}


@EVERY
def test_a_page_may_contain_only_urls(client, stocked, collection):
    pages = walk(client, f"{stocked.url}?view=urls&per_page=2&sort=-id", "next")
    urls = [url for page in pages for url in page["urls"]]
    assert urls == [item["url"] for item in stocked.items[::-1]]
    uncounted = client.get(f"{stocked.url}?total=none").json["meta"]
    assert (uncounted["total"], uncounted["pages"]) == (None, None)


def in_a_query(value):
    return str(value).lower() if isinstance(value, bool) else value


@EVERY
def test_a_filter_finds_exactly_the_records_with_its_value(client, stocked, collection):
    for name, schema in collection.model.filters.items():
        values = [item[name] for item in stocked.items if item[name] is not None]
        if name in write_properties(collection):
            values.append(distinct_value(schema, 3))
        for value in dict.fromkeys(values):
            query = {name: in_a_query(value)}
            items = client.get(stocked.url, query_string=query).json["items"]
            expected = [item for item in stocked.items if item[name] == value]
            assert (query, items) == (query, expected)


@EVERY
def test_a_search_finds_text_in_any_case(client, stocked, collection):
    names = collection.model.search_fields
    texts = {item[name] for item in stocked.items for name in names if item[name]}
    for words in (*sorted(texts), "no such words"):
        words = words.swapcase()[:250]
        items = client.get(stocked.url, query_string={"q": words}).json["items"]
        expected = [
            item
            for item in stocked.items
            if any(words.lower() in (item[name] or "").lower() for name in names)
        ]
        assert (words, items) == (words, expected)


# A record


@EVERY
def test_a_record_is_read_as_it_was_written(client, things, collection):
    url = things.address(collection.path)
    for slashed in (url, url.rstrip("/")):
        body = things.body(collection.model, 0)
        response = client.post(slashed, json=body)
        assert response.status_code == 201, response.text
        assert written_values(response.json, collection) == body
        assert client.get(response.json["url"]).json == response.json
    body = things.body(collection.model, 0)  # with new unique values
    needed = {name: body[name] for name in collection.model.write_schema["required"]}
    least = client.post(url, json=needed).json
    for name, schema in write_properties(collection).items():
        assert least[name] == needed.get(name, schema.get("default")), name


@EVERY
def test_put_replaces_and_a_patch_changes_what_it_names(client, things, collection):
    item = things.make(collection, 0)
    properties = write_properties(collection)
    changes = [(name, things.body(collection.model, 1)[name]) for name in properties]
    changes += [(n, None) for n, schema in properties.items() if is_optional(schema)]
    for name, value in changes:
        before = client.get(item["url"]).json
        after = value if value is not None else properties[name].get("default")
        expected = written_values(before, collection) | {name: after}
        if obey_rules(collection.model, expected, before) == expected:
            patched = client.patch(item["url"], json={name: value}).json
            assert written_values(patched, collection) == expected
        else:
            assert faults(client.patch(item["url"], json={name: value}))
    body = things.body(collection.model, 2, client.get(item["url"]).json)
    assert written_values(client.put(item["url"], json=body).json, collection) == body
    item, body = things.make(collection, 0), things.body(collection.model, 2)
    least = {name: body[name] for name in collection.model.write_schema["required"]}
    replaced = client.put(item["url"], json=least).json
    for name, schema in properties.items():
        assert replaced[name] == least.get(name, schema.get("default")), name
    assert client.get(item["url"]).json == replaced


@EVERY
def test_of_two_changes_with_the_same_etag_one_succeeds(client, things, collection):
    item = things.make(collection, 0)
    url, body = item["url"], things.body(collection.model, 1, item)
    seen = {"If-Match": client.get(url).headers["ETag"]}
    assert client.put(url, json=body, headers=seen).status_code == 200
    for verb, sent in {"PUT": body, "PATCH": {}, "DELETE": None}.items():
        late = client.open(url, method=verb, json=sent, headers=seen)
        assert_problem(late, 412)
    assert written_values(client.get(url).json, collection) == body


@EVERY
def test_an_unchanged_record_is_304(client, things, collection):
    item = things.make(collection, 0)
    page = things.address(collection.path)
    for number, url in enumerate((item["url"], page), 1):
        had = {"If-None-Match": client.get(url).headers["ETag"]}
        for verb in ("GET", "HEAD"):
            again = client.open(url, method=verb, headers=had)
            assert (again.status_code, again.data) == (304, b""), url
        before = client.get(item["url"]).json
        client.put(item["url"], json=things.body(collection.model, number, before))
        assert client.get(url, headers=had).status_code == 200, url


@EVERY
def test_a_deleted_record_is_gone_and_its_id_is_never_used_again(
    client, things, collection
):
    kept, item = things.make(collection, 0), things.make(collection, 1)
    assert client.delete(item["url"]).status_code == 204
    body = things.body(collection.model, 0)
    for verb, sent in {"GET": None, "PUT": body, "PATCH": {}, "DELETE": None}.items():
        assert client.open(item["url"], method=verb, json=sent).status_code == 404
    assert client.get(things.address(collection.path)).json["items"] == [kept]
    assert things.make(collection, 1)["id"] > item["id"]


@EVERY
def test_a_post_with_a_key_happens_once(client, things, collection):
    url, body = things.address(collection.path), things.body(collection.model, 0)
    first, second = (client.post(url, json=body, headers=KEY) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert (second.data, second.headers["Idempotent-Replayed"]) == (first.data, "true")
    other = client.post(url, json=things.body(collection.model, 1), headers=KEY)
    assert faults(other).keys() == {"/Idempotency-Key"}
    assert other.json["type"] == "/docs/problems#key-reused"
    assert client.get(url).json["items"] == [first.json]


# References


def refusals(client, url, item, body, name, value):
    """Yield the response of each writing method to an invalid value of a property."""
    changed = {name: value}
    yield client.post(url, json=body | changed)
    yield client.put(item["url"], json=body | changed)
    yield client.patch(item["url"], json=changed)


@REFERRING
def test_a_reference_must_name_an_existing_record_of_the_same_owner(
    client, things, theirs, collection
):
    item, body = things.make(collection, 0), things.body(collection.model, 1)
    url = things.address(collection.path)
    for name, other in references_of(collection.model).items():
        home = COLLECTION_OF_MODEL[other]
        strange = [NOWHERE, *([theirs.id_in(home.path)] if is_owned(other) else [])]
        for value in strange:
            for response in refusals(client, url, item, body, name, value):
                detail = f"No such {human_name(other)}."
                assert faults(response) == {f"/{name}": detail}
    assert client.get(url).json["items"] == [item]


@REFERRING
def test_all_invalid_references_are_reported_at_once(client, things, collection):
    references = references_of(collection.model)
    body = things.body(collection.model, 0, **dict.fromkeys(references, NOWHERE))
    response = client.post(things.address(collection.path), json=body)
    assert faults(response).keys() == {f"/{name}" for name in references}


def long_ago(app, model, id):
    """Make it look as if nothing had changed it for long."""
    with app.app_context(), unit_of_work():
        old = sql.update(model).where(model.id == id)
        sql.session.execute(old.values(updated_at=datetime(2026, 1, 1)))


@REFERRING
def test_a_deletion_sets_references_to_null_or_cascades(
    app, client, things, collection
):
    for name, other in references_of(collection.model).items():
        target = things.make(COLLECTION_OF_MODEL[other], 5)
        item = things.make(collection, 0, **{name: target["id"]})
        stays = things.make(collection, 0)
        long_ago(app, collection.model, item["id"])
        assert client.delete(target["url"]).status_code == 204
        after = client.get(item["url"])
        if is_optional(write_properties(collection)[name]):
            assert written_values(after.json, collection) == {
                **written_values(item, collection),
                name: None,
            }
            assert after.json["updated_at"] >= item["updated_at"], name
        else:
            assert after.status_code == 404, name
        assert client.get(stays["url"]).json == stays


# Unique values


@UNIQUE
def test_a_unique_value_is_taken_until_it_is_released(client, things, collection):
    url = things.address(collection.path)
    for name in unique_in(collection.model):
        first, second = things.make(collection, 0), things.make(collection, 1)
        taken = things.body(collection.model, 2, **{name: first[name]})
        for response in refusals(client, url, second, taken, name, first[name]):
            problem = assert_problem(response, 409)
            assert problem["detail"] == f"The {name} is taken."
        assert client.get(second["url"]).json == second
        assert client.put(first["url"], json=taken).status_code == 200
        assert client.delete(first["url"]).status_code == 204
        assert client.post(url, json=taken).status_code == 201


@UNIQUE
def test_a_value_is_unique_per_owner_or_globally(things, theirs, collection):
    for name in unique_in(collection.model):
        mine = things.make(collection, 0)
        sent = theirs.body(collection.model, 0, **{name: mine[name]})
        response = theirs.client.post(theirs.address(collection.path), json=sent)
        # The records of engineer have another parent, if they have one.
        apart = is_owned(collection.model) or collection.parent
        assert response.status_code == (201 if apart else 409), name


# Children


@BELOW
def test_a_child_is_found_only_below_its_parent(client, things, collection):
    item = things.make(collection, 0)
    url, parent = things.address(collection.path), collection.parent
    assert item[collection.model.parent_field] == things.ids[parent.path]
    other = things.make(parent, 1)["url"]
    elsewhere = url.replace(things.address(parent.item), other)
    nowhere = url.replace(f"/{things.ids[parent.path]}/", f"/{NOWHERE}/")
    body = things.body(collection.model, 1)
    assert client.get(elsewhere).json["items"] == []
    for place in (elsewhere, nowhere):
        for verb, sent in {
            "GET": None,
            "PUT": body,
            "PATCH": {},
            "DELETE": None,
        }.items():
            response = client.open(f"{place}{item['id']}", method=verb, json=sent)
            assert_problem(response, 404)
    assert_problem(client.get(nowhere), 404)
    assert_problem(client.post(nowhere, json=body), 404)
    assert client.get(url).json["items"] == [item]


@BELOW
def test_a_child_is_deleted_with_its_parent(client, things, collection):
    item = things.make(collection, 0)
    assert client.delete(things.address(collection.parent.item)).status_code == 204
    assert_problem(client.get(item["url"]), 404)
    assert_problem(client.get(things.address(collection.path)), 404)
