"""One contract, two stores: SqlModel and RedisModel have the same methods.

Each test runs with a model of either kind. Tests of one store alone are at the end.
"""

from itertools import count
from urllib.parse import urlsplit

import jsonschema
import orjson
import pytest
from flask import current_app

from conftest import LAMP
from myapp.core.data.redis import redis_store
from myapp.core.data.session import RetryTransaction, sql, unit_of_work
from myapp.core.errors import Malformed, NotFound
from myapp.core.http.pagination import page_meta, parse_page_request
from myapp.core.http.preconditions import etag
from myapp.core.schema.serialization import dumps
from myapp.users.models import User
from support.features.sample_gadgets.models import SampleGadget
from support.features.sample_signals.models import SampleSignal


class Gadgets:
    """Records in SQL; their text property is `model`."""

    model = SampleGadget
    text = "model"

    def __init__(self):
        self.mine = {"owner_id": User.find("pythonista").id}
        self.theirs = {"owner_id": User.find("engineer").id}

    def make(self, text, **scope):
        return SampleGadget.create(**LAMP | {"model": text} | (scope or self.mine))


class Signals:
    """Records in Redis; their text property is `firmware`."""

    model = SampleSignal
    text = "firmware"
    mine = {"owner_id": 1}
    theirs = {"owner_id": 2}

    def __init__(self):
        self.ids = count(1)

    def make(self, text, **scope):
        body = SampleSignal.body.validate({"firmware": text})
        return SampleSignal.create(id=next(self.ids), **body, **scope or self.mine)


@pytest.fixture
def context(app):
    with app.test_request_context():
        yield


@pytest.fixture(params=[Gadgets, Signals], ids=["SQL", "Redis"])
def store(request, context):
    return request.param()


@pytest.fixture
def five(store):
    """Create five records with the texts v1.0 to v1.4 and return their ids."""
    return [store.make(f"v1.{number}").id for number in range(5)]


def page(store, query="", **scope):
    """Return the ids on the page for a query string, and its meta."""
    with current_app.test_request_context("/?" + query):
        request = parse_page_request(store.model)
    result = store.model.page(request, **scope or store.mine)
    with current_app.test_request_context("/?" + query):
        meta = page_meta(request, result)
    return [record.id for record in result.records], meta


def walk(store, query, towards):
    """Return the ids on each page, from the page for a query string to the last one."""
    pages = []
    while query is not None:
        ids, meta = page(store, query)
        pages.append(ids)
        query = meta[towards] and urlsplit(meta[towards]).query
    return pages


def state(store, id):
    """Return a record as JSON, and its ETag."""
    record = store.model.get_or_404(id)
    body = dumps(store.model.as_json(record))
    return orjson.loads(body), etag(body, record.version)


# One record


def test_a_new_record_can_be_read(store):
    created = store.make("v1")
    record = store.model.get_or_404(created.id)
    assert getattr(record, store.text) == "v1"
    assert store.model.as_json(record) == store.model.as_json(created)


def test_a_record_matches_its_read_schema(store):
    created = store.make("v1")
    body, _ = state(store, created.id)
    schema = store.model.read_schema
    assert list(body) == list(schema["properties"])
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.validate(body, schema, format_checker=checker)
    assert body["url"].endswith(f"/{store.model.collection}/{created.id}")


@pytest.mark.parametrize("find", ["get_or_404", "lock_or_404"])
def test_a_missing_record_is_not_found(store, find):
    with pytest.raises(NotFound):
        getattr(store.model, find)(2**63 - 1)


@pytest.mark.parametrize("find", ["get_or_404", "lock_or_404"])
def test_a_record_outside_the_scope_is_not_found(store, find):
    created = store.make("v1")
    look = getattr(store.model, find)
    assert look(created.id, **store.mine).id == created.id
    with pytest.raises(NotFound):
        look(created.id, **store.theirs)


def test_an_update_changes_only_the_named_properties(store):
    created = store.make("v1")
    before, tag = state(store, created.id)
    updated = store.model.lock_or_404(created.id).update(**{store.text: "v2"})
    after, new_tag = state(store, created.id)
    assert orjson.loads(dumps(store.model.as_json(updated))) == after
    moments = {"updated_at", "last_seen", "expires_at"}
    assert {name for name in after if after[name] != before[name]} - moments == {
        store.text
    }
    assert new_tag != tag


def test_an_update_leaves_other_records_unchanged(store, five):
    before = [state(store, id) for id in five[1:]]
    store.model.lock_or_404(five[0]).update(**{store.text: "v2"})
    assert [state(store, id) for id in five[1:]] == before


def test_an_updated_record_is_found_by_its_new_text_only(store):
    created = store.make("before")
    store.model.lock_or_404(created.id).update(**{store.text: "after"})
    assert page(store, "q=before")[0] == []
    assert page(store, f"{store.text}=before")[0] == []
    assert page(store, "q=after")[0] == [created.id]
    assert page(store, f"{store.text}=after")[0] == [created.id]


def test_a_deleted_record_is_neither_found_nor_listed(store, five):
    store.model.lock_or_404(five[2]).delete()
    with pytest.raises(NotFound):
        store.model.get_or_404(five[2])
    ids, meta = page(store)
    assert ids == five[:2] + five[3:]
    assert meta["total"] == 4


# Pages


def test_a_page_holds_the_scope_ordered_by_id(store, five):
    store.make("v1.0", **store.theirs)
    ids, meta = page(store)
    assert ids == five
    assert (meta["total"], meta["total_exact"], meta["pages"]) == (5, True, 1)
    assert meta["prev"] is meta["next"] is None


def test_a_page_of_an_empty_collection_is_empty(store):
    ids, meta = page(store)
    assert ids == []
    assert (meta["total"], meta["pages"]) == (0, 0)
    assert meta["prev"] is meta["next"] is meta["last"] is None


def test_a_page_beyond_the_end_links_back(store, five):
    ids, meta = page(store, "per_page=2&page=9")
    assert ids == []
    assert meta["next"] is None
    assert page(store, urlsplit(meta["prev"]).query)[0] == five[4:]


@pytest.mark.parametrize("sort", ["id", "-id"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
def test_next_links_visit_every_record_once_and_prev_links_lead_back(
    store, five, sort, size
):
    in_order = five if sort == "id" else five[::-1]
    expected = [in_order[at : at + size] for at in range(0, 5, size)]
    query = f"sort={sort}&per_page={size}"
    assert walk(store, query, "next") == expected
    last = page(store, query)[1]["last"]
    assert walk(store, urlsplit(last).query, "prev") == expected[::-1]


@pytest.mark.parametrize("sort", ["id", "-id"])
def test_a_numbered_page_is_the_page_that_the_links_lead_to(store, five, sort):
    linked = walk(store, f"sort={sort}&per_page=2", "next")
    numbered = [page(store, f"sort={sort}&per_page=2&page={n}")[0] for n in (1, 2, 3)]
    assert numbered == linked


def test_a_link_works_although_the_record_at_its_cursor_was_deleted(store, five):
    _, meta = page(store, "per_page=2")
    store.model.lock_or_404(five[1]).delete()
    assert page(store, urlsplit(meta["next"]).query)[0] == five[2:4]


def test_a_filter_is_exact(store, five):
    assert page(store, f"{store.text}=v1.3")[0] == [five[3]]
    assert page(store, f"{store.text}=v1")[0] == []
    assert page(store, f"{store.text}=V1.3")[0] == []
    assert page(store, f"id={five[2]}")[0] == [five[2]]
    assert page(store, f"id={five[2]}&{store.text}=v1.3")[0] == []


def test_links_keep_the_filters(store):
    ids = [store.make(text).id for text in ("odd", "even") * 3]
    pages = walk(store, f"{store.text}=even&per_page=2", "next")
    assert pages == [[ids[1], ids[3]], [ids[5]]]
    assert page(store, f"{store.text}=even&per_page=2")[1]["total"] == 3


@pytest.mark.parametrize(
    "text, query",
    [
        ("Straße 5", "STRASSE"),
        ("Ｆｕｌｌ", "full"),
        ("100%", "0%"),
        ("a_b", "a_b"),
        ("back\\slash", "K\\S"),
        ("it's", "'S"),
    ],
)
def test_a_search_matches_anywhere_and_ignores_case(store, text, query):
    store.make("axb 1000 unlike")
    created = store.make(text)
    with current_app.test_request_context("/", query_string={"q": query}):
        request = parse_page_request(store.model)
    result = store.model.page(request, **store.mine)
    assert [record.id for record in result.records] == [created.id]


@pytest.mark.parametrize(
    "how, total, exact",
    [("capped", 5, True), ("exact", 5, True), ("none", None, False)],
)
def test_the_total_is_counted_as_requested(store, five, how, total, exact):
    ids, meta = page(store, f"total={how}&per_page=2")
    assert ids == five[:2]
    assert (meta["total"], meta["total_exact"]) == (total, exact)
    assert meta["next"]


def test_a_page_cannot_be_sorted_by_an_undeclared_field(store):
    with pytest.raises(Malformed):
        page(store, "sort=owner_id")


# SQL only


def test_sql_sorts_by_several_fields_and_breaks_ties_by_id(context):
    store = Gadgets()
    rooms = ["b", "a", "b", "a", "b", "a"]
    ids = [store.make("v1", location=room, **store.mine).id for room in rooms]
    a, b = ids[1::2], ids[0::2]
    for sort, expected in (
        ("location", a + b),
        ("-location", b[::-1] + a[::-1]),
        ("location,-id", a[::-1] + b[::-1]),
        ("-location,id", b + a),
        ("type,-location", b[::-1] + a[::-1]),
        ("-type,location,-id", a[::-1] + b[::-1]),
    ):
        pages = [expected[at : at + 2] for at in (0, 2, 4)]
        query = f"sort={sort}&per_page=2"
        assert walk(store, query, "next") == pages
        last = page(store, query)[1]["last"]
        assert walk(store, urlsplit(last).query, "prev") == pages[::-1]


def test_sql_flushes_and_does_not_commit(context):
    created = Gadgets().make("v1")
    assert SampleGadget.get_or_404(created.id)
    sql.session.rollback()
    with pytest.raises(NotFound):
        SampleGadget.get_or_404(created.id)


def test_a_unit_of_work_commits_all_its_changes(context):
    with unit_of_work():
        store = Gadgets()
        kept, deleted = store.make("v1"), store.make("v1")
        SampleGadget.lock_or_404(kept.id).update(model="v2")
        SampleGadget.lock_or_404(deleted.id).delete()
    sql.session.rollback()
    assert page(store)[0] == [kept.id]
    assert SampleGadget.get_or_404(kept.id).model == "v2"


@pytest.mark.parametrize("error", [ZeroDivisionError, NotFound, KeyboardInterrupt])
def test_a_unit_of_work_that_fails_is_rolled_back(context, error):
    with unit_of_work():
        store = Gadgets()
        one, other = store.make("v1"), store.make("v1")
    with pytest.raises(error):
        with unit_of_work():
            store.make("v1")
            SampleGadget.lock_or_404(one.id).update(model="v2")
            SampleGadget.lock_or_404(other.id).delete()
            raise error
    assert page(store)[0] == [one.id, other.id]
    assert SampleGadget.get_or_404(one.id).model == "v1"


def test_sql_increments_the_version_with_each_change(context):
    record = SampleGadget.lock_or_404(Gadgets().make("v1").id)
    first = record.version
    assert record.update(model="v2").version == first + 1
    assert record.update(model="v1").version == first + 2
    assert record.update(model="v1").version == first + 2, "nothing has changed"


def test_records_that_sql_creates_in_bulk_are_like_others(context):
    store = Gadgets()
    one = store.make("v1")
    SampleGadget.create_many([LAMP | {"model": f"v{n}"} for n in "23"], **store.mine)
    ids, _ = page(store)
    assert len(ids) == 3
    assert page(store, "q=V3")[0] == [ids[2]]
    created, many = (
        SampleGadget.as_json(SampleGadget.get_or_404(id)) for id in ids[:2]
    )
    assert created["id"] == one.id
    own = {"url", "id", "model", "created_at", "updated_at"}
    assert {n: created[n] for n in created if n not in own} == {
        n: many[n] for n in many if n not in own
    }


# Redis only


def test_of_two_concurrent_changes_only_the_first_succeeds(context):
    created = Signals().make("v1")
    first = SampleSignal.lock_or_404(created.id)
    second = SampleSignal.lock_or_404(created.id)
    first.update(firmware="first")
    with pytest.raises(RetryTransaction):
        second.update(firmware="second")
    with pytest.raises(RetryTransaction):
        SampleSignal.lock_or_404(created.id) and second.delete()
    assert SampleSignal.get_or_404(created.id).firmware == "first"
    first.update(firmware="again")  # the last writer may change it again
    assert SampleSignal.get_or_404(created.id).firmware == "again"


def test_an_update_does_not_restore_a_deleted_record(context):
    created = Signals().make("v1")
    read = SampleSignal.lock_or_404(created.id)
    created.delete()
    with pytest.raises(RetryTransaction):
        read.update(firmware="v2")
    assert SampleSignal.get(created.id) is None


def test_of_two_creations_of_one_id_only_the_first_succeeds(context):
    store = Signals()
    store.make("first")
    store.ids = count(1)
    with pytest.raises(RetryTransaction):
        store.make("second")
    assert SampleSignal.get_or_404(1).firmware == "first"


@pytest.mark.parametrize("others", [1, 4])
def test_a_request_that_loses_a_race_is_retried(client, gadget, monkeypatch, others):
    url = f"/api/v1/sample_signals/{gadget['id']}"
    client.put(url, json={"firmware": "v1"})
    read = SampleSignal.get.__func__

    def read_then_overtake(cls, id, **scope):
        """Read a record, and let another request change it at once."""
        nonlocal others
        record = read(cls, id, **scope)
        if others:
            others -= 1
            read(cls, id).update(firmware=f"other {others}")
        return record

    monkeypatch.setattr(SampleSignal, "get", classmethod(read_then_overtake))
    response = client.put(url, json={"firmware": "v2", "battery": 5})
    assert response.status_code == 200
    assert (response.json["firmware"], response.json["battery"]) == ("v2", 5)


def test_a_request_that_loses_every_race_fails(client, gadget, monkeypatch):
    url = f"/api/v1/sample_signals/{gadget['id']}"

    def changed(*_):
        raise RetryTransaction

    monkeypatch.setattr(SampleSignal, "_compare_and_set", changed)
    response = client.put(url, json={})
    assert response.status_code in (409, 503)


def test_a_record_in_redis_has_the_configured_lifetime(context, monkeypatch):
    monkeypatch.setattr(SampleSignal, "lifetime_seconds", 60)
    created = Signals().make("v1")
    assert 58 <= redis_store.ttl(f"{{sample_signals}}:{created.id}") <= 60
    lifetime = created.expires_at - created.updated_at
    assert lifetime.total_seconds() == 60


def test_an_expired_record_is_not_listed(context, monkeypatch):
    store = Signals()
    kept = store.make("v1")
    monkeypatch.setattr(SampleSignal, "lifetime_seconds", -1)
    expired = store.make("v1")
    assert SampleSignal.get(expired.id) is None
    ids, meta = page(store)
    assert ids == [kept.id]
    assert meta["total"] == 1
