"""One contract, two stores: SqlModel and RedisModel have the same methods.

Each test runs with a model of either kind. Tests of one store alone are at the end.
"""

from itertools import count
from urllib.parse import urlencode, urlsplit

import orjson
import pytest
from flask import current_app

from conftest import LAMP
from myapp.core.data.redis import redis_store
from myapp.core.data.session import RetryTransaction, sql, unit_of_work
from myapp.core.errors import NotFound
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


def test_an_update_changes_only_the_named_properties_of_one_record(store, five):
    (before, old_tag), *others = [state(store, id) for id in five]
    updated = store.model.lock_or_404(five[0]).update(**{store.text: "v2"})
    after, new_tag = state(store, five[0])
    assert orjson.loads(dumps(store.model.as_json(updated))) == after
    assert list(after) == list(store.model.read_schema["properties"])
    changed = {name for name in after if after[name] != before[name]}
    assert changed - {"updated_at", "last_seen", "expires_at"} == {store.text}
    assert new_tag != old_tag
    assert [state(store, id) for id in five[1:]] == others


def test_an_updated_record_is_found_by_its_new_text_only(store):
    created = store.make("before")
    store.model.lock_or_404(created.id).update(**{store.text: "after"})
    for name in ("q", store.text):
        assert page(store, f"{name}=before")[0] == []
        assert page(store, f"{name}=after")[0] == [created.id]


def test_a_deleted_record_is_not_found_and_links_to_its_place_work(store, five):
    _, meta = page(store, "per_page=2")
    store.model.lock_or_404(five[1]).delete()
    with pytest.raises(NotFound):
        store.model.get_or_404(five[1])
    assert page(store, urlsplit(meta["next"]).query)[0] == five[2:4]
    ids, meta = page(store)
    assert (ids, meta["total"]) == ([five[0], *five[2:]], 4)


# Pages


def test_a_page_holds_the_scope_ordered_by_id(store, five):
    store.make("v1.0", **store.theirs)
    ids, meta = page(store)
    assert ids == five
    assert (meta["total"], meta["total_exact"], meta["pages"]) == (5, True, 1)
    assert meta["prev"] is meta["next"] is None
    ids, meta = page(store, "per_page=2&page=9")
    assert (ids, meta["next"]) == ([], None)
    assert page(store, urlsplit(meta["prev"]).query)[0] == five[4:]


@pytest.mark.parametrize("sort", ["id", "-id"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
def test_links_and_numbers_lead_through_every_record_once(store, five, sort, size):
    in_order = five if sort == "id" else five[::-1]
    expected = [in_order[at : at + size] for at in range(0, 5, size)]
    query = f"sort={sort}&per_page={size}"
    assert walk(store, query, "next") == expected
    last = page(store, query)[1]["last"]
    assert walk(store, urlsplit(last).query, "prev") == expected[::-1]
    for number, ids in enumerate(expected, 1):
        assert page(store, f"{query}&page={number}")[0] == ids


def test_a_filter_is_exact_and_links_keep_it(store, five):
    for value, expected in (("v1.3", [five[3]]), ("v1", []), ("V1.3", [])):
        assert page(store, f"{store.text}={value}")[0] == expected
    assert page(store, f"id={five[2]}")[0] == [five[2]]
    assert page(store, f"id={five[2]}&{store.text}=v1.3")[0] == []
    ids = [store.make(text).id for text in ("odd", "even") * 3]
    pages = walk(store, f"{store.text}=even&per_page=2", "next")
    assert pages == [[ids[1], ids[3]], [ids[5]]]
    assert page(store, f"{store.text}=even&per_page=2")[1]["total"] == 3


SEARCHES = {"Straße 5": "STRASSE", "Ｆｕｌｌ": "full", "100%": "0%", "a_b": "a_b"}
SEARCHES |= {"back\\slash": "K\\S", "it's": "'S"}


@pytest.mark.parametrize("text, query", SEARCHES.items())
def test_a_search_matches_anywhere_and_ignores_case(store, text, query):
    store.make("axb 1000 unlike")
    created = store.make(text)
    assert page(store, urlencode({"q": query}))[0] == [created.id]


def test_the_total_is_counted_as_requested(store, five):
    totals = {"capped": (5, True), "exact": (5, True), "none": (None, False)}
    for how, counted in totals.items():
        ids, meta = page(store, f"total={how}&per_page=2")
        assert (ids, (meta["total"], meta["total_exact"])) == (five[:2], counted)
        assert meta["next"]


# SQL only


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


def test_records_that_sql_creates_in_bulk_are_like_others(context):
    store = Gadgets()
    one = store.make("v1")
    SampleGadget.create_many([LAMP | {"model": f"v{n}"} for n in "23"], **store.mine)
    ids, _ = page(store)
    assert len(ids) == 3
    assert page(store, "q=V3")[0] == [ids[2]]
    (created, _), (many, _) = (state(store, id) for id in ids[:2])
    assert created["id"] == one.id
    for name in created.keys() - {"url", "id", "model", "created_at", "updated_at"}:
        assert created[name] == many[name], name


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


def test_a_change_does_not_restore_a_deleted_record_nor_create_a_present_one(context):
    store = Signals()
    created = store.make("v1")
    read = SampleSignal.lock_or_404(created.id)
    created.delete()
    with pytest.raises(RetryTransaction):
        read.update(firmware="v2")
    assert SampleSignal.get(created.id) is None
    store.ids = count(7)
    store.make("first")
    store.ids = count(7)
    with pytest.raises(RetryTransaction):
        store.make("second")
    assert SampleSignal.get_or_404(7).firmware == "first"


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


def test_a_record_in_redis_is_listed_for_the_configured_lifetime(context, monkeypatch):
    store = Signals()
    monkeypatch.setattr(SampleSignal, "lifetime_seconds", 60)
    kept = store.make("v1")
    assert 58 <= redis_store.ttl(f"{{sample_signals}}:{kept.id}") <= 60
    assert (kept.expires_at - kept.updated_at).total_seconds() == 60
    monkeypatch.setattr(SampleSignal, "lifetime_seconds", -1)
    assert SampleSignal.get(store.make("v1").id) is None
    ids, meta = page(store)
    assert (ids, meta["total"]) == ([kept.id], 1)
