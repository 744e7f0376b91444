"""One contract, two stores: SqlModel and RedisModel know the same words.

Each test drives a model of either kind; what only one store can do stands at the end.
"""

from itertools import count
from urllib.parse import urlsplit

import jsonschema
import orjson
import pytest
from flask import current_app

from conftest import LAMP
from myapp.core.data.redis import redis_store
from myapp.core.data.session import Changed, sql, unit_of_work
from myapp.core.errors import Malformed, NotFound
from myapp.core.http.pagination import asked_for, meta_of
from myapp.core.http.preconditions import etag
from myapp.core.schema.serialization import dumps
from myapp.users.models import User
from support.features.sample_gadgets.models import SampleGadget
from support.features.sample_signals.models import SampleSignal


class Gadgets:
    """Records in SQL; their text is `model`."""

    model = SampleGadget
    text = "model"

    def __init__(self):
        self.mine = {"owner_id": User.find("pythonista").id}
        self.theirs = {"owner_id": User.find("engineer").id}

    def make(self, text, **scope):
        return SampleGadget.create(**LAMP | {"model": text} | (scope or self.mine))


class Signals:
    """Records in Redis; their text is `firmware`."""

    model = SampleSignal
    text = "firmware"
    mine = {"owner_id": 1}
    theirs = {"owner_id": 2}

    def __init__(self):
        self.ids = count(1)

    def make(self, text, **scope):
        body = SampleSignal.body.check({"firmware": text})
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
    """The ids of five records, whose texts are v1.0 to v1.4."""
    return [store.make(f"v1.{number}").id for number in range(5)]


def page(store, query="", **scope):
    """The ids on the page that a query asks for, and its meta."""
    with current_app.test_request_context("/?" + query):
        asked = asked_for(store.model)
    found = store.model.page(asked, **scope or store.mine)
    with current_app.test_request_context("/?" + query):
        meta = meta_of(asked, found)
    return [record.id for record in found.records], meta


def walk(store, query, towards):
    """The ids on each page, from the first that a query leads to on to the last."""
    pages = []
    while query is not None:
        ids, meta = page(store, query)
        pages.append(ids)
        query = meta[towards] and urlsplit(meta[towards]).query
    return pages


def state(store, id):
    """What a client sees of a record, and the ETag it has."""
    record = store.model.get_or_404(id)
    body = dumps(store.model.as_json(record))
    return orjson.loads(body), etag(body, record.version)


# One record


def test_a_new_record_is_there_to_be_read(store):
    made = store.make("v1")
    found = store.model.get_or_404(made.id)
    assert getattr(found, store.text) == "v1"
    assert store.model.as_json(found) == store.model.as_json(made)


def test_a_record_reads_as_its_schema_says(store):
    made = store.make("v1")
    shown, _ = state(store, made.id)
    schema = store.model.read_schema
    assert list(shown) == list(schema["properties"])
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.validate(shown, schema, format_checker=checker)
    assert shown["url"].endswith(f"/{store.model.collection}/{made.id}")


@pytest.mark.parametrize("find", ["get_or_404", "lock_or_404"])
def test_what_is_not_there_is_404(store, find):
    with pytest.raises(NotFound):
        getattr(store.model, find)(2**63 - 1)


@pytest.mark.parametrize("find", ["get_or_404", "lock_or_404"])
def test_what_is_outside_the_scope_is_404(store, find):
    made = store.make("v1")
    look = getattr(store.model, find)
    assert look(made.id, **store.mine).id == made.id
    with pytest.raises(NotFound):
        look(made.id, **store.theirs)


def test_an_update_changes_what_it_names_and_nothing_else(store):
    made = store.make("v1")
    before, tag = state(store, made.id)
    updated = store.model.lock_or_404(made.id).update(**{store.text: "v2"})
    after, new_tag = state(store, made.id)
    assert orjson.loads(dumps(store.model.as_json(updated))) == after
    moments = {"updated_at", "last_seen", "expires_at"}
    assert {name for name in after if after[name] != before[name]} - moments == {
        store.text
    }
    assert new_tag != tag


def test_an_update_leaves_the_others_alone(store, five):
    before = [state(store, id) for id in five[1:]]
    store.model.lock_or_404(five[0]).update(**{store.text: "v2"})
    assert [state(store, id) for id in five[1:]] == before


def test_an_updated_record_is_found_by_its_new_text_only(store):
    made = store.make("before")
    store.model.lock_or_404(made.id).update(**{store.text: "after"})
    assert page(store, "q=before")[0] == []
    assert page(store, f"{store.text}=before")[0] == []
    assert page(store, "q=after")[0] == [made.id]
    assert page(store, f"{store.text}=after")[0] == [made.id]


def test_a_deleted_record_is_gone_everywhere(store, five):
    store.model.lock_or_404(five[2]).delete()
    with pytest.raises(NotFound):
        store.model.get_or_404(five[2])
    ids, meta = page(store)
    assert ids == five[:2] + five[3:]
    assert meta["total"] == 4


# Pages


def test_a_page_holds_the_scope_in_the_order_of_ids(store, five):
    store.make("v1.0", **store.theirs)
    ids, meta = page(store)
    assert ids == five
    assert (meta["total"], meta["total_exact"], meta["pages"]) == (5, True, 1)
    assert meta["prev"] is meta["next"] is None


def test_a_page_of_nothing_is_empty(store):
    ids, meta = page(store)
    assert ids == []
    assert (meta["total"], meta["pages"]) == (0, 0)
    assert meta["prev"] is meta["next"] is meta["last"] is None


def test_a_page_beyond_the_end_leads_back(store, five):
    ids, meta = page(store, "per_page=2&page=9")
    assert ids == []
    assert meta["next"] is None
    assert page(store, urlsplit(meta["prev"]).query)[0] == five[4:]


@pytest.mark.parametrize("sort", ["id", "-id"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
def test_next_leads_through_all_once_and_prev_back(store, five, sort, size):
    in_order = five if sort == "id" else five[::-1]
    expected = [in_order[at : at + size] for at in range(0, 5, size)]
    query = f"sort={sort}&per_page={size}"
    assert walk(store, query, "next") == expected
    last = page(store, query)[1]["last"]
    assert walk(store, urlsplit(last).query, "prev") == expected[::-1]


@pytest.mark.parametrize("sort", ["id", "-id"])
def test_a_numbered_page_holds_what_the_links_lead_to(store, five, sort):
    linked = walk(store, f"sort={sort}&per_page=2", "next")
    numbered = [page(store, f"sort={sort}&per_page=2&page={n}")[0] for n in (1, 2, 3)]
    assert numbered == linked


def test_a_link_finds_its_way_although_its_place_is_gone(store, five):
    _, meta = page(store, "per_page=2")
    store.model.lock_or_404(five[1]).delete()
    assert page(store, urlsplit(meta["next"]).query)[0] == five[2:4]


def test_a_filter_is_exact(store, five):
    assert page(store, f"{store.text}=v1.3")[0] == [five[3]]
    assert page(store, f"{store.text}=v1")[0] == []
    assert page(store, f"{store.text}=V1.3")[0] == []
    assert page(store, f"id={five[2]}")[0] == [five[2]]
    assert page(store, f"id={five[2]}&{store.text}=v1.3")[0] == []


def test_filters_and_links_go_together(store):
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
def test_a_search_finds_text_anywhere_in_any_case(store, text, query):
    store.make("axb 1000 unlike")
    made = store.make(text)
    with current_app.test_request_context("/", query_string={"q": query}):
        asked = asked_for(store.model)
    found = store.model.page(asked, **store.mine)
    assert [record.id for record in found.records] == [made.id]


@pytest.mark.parametrize(
    "how, total, exact",
    [("capped", 5, True), ("exact", 5, True), ("none", None, False)],
)
def test_a_total_is_counted_as_asked(store, five, how, total, exact):
    ids, meta = page(store, f"total={how}&per_page=2")
    assert ids == five[:2]
    assert (meta["total"], meta["total_exact"]) == (total, exact)
    assert meta["next"]


def test_a_page_sorts_by_what_is_declared_and_nothing_else(store):
    with pytest.raises(Malformed):
        page(store, "sort=owner_id")


# What SQL does


def test_sql_sorts_by_several_fields_and_goes_by_id_in_the_end(context):
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
    made = Gadgets().make("v1")
    assert SampleGadget.get_or_404(made.id)
    sql.session.rollback()
    with pytest.raises(NotFound):
        SampleGadget.get_or_404(made.id)


def test_a_unit_of_work_keeps_all_that_it_did(context):
    with unit_of_work():
        store = Gadgets()
        kept, deleted = store.make("v1"), store.make("v1")
        SampleGadget.lock_or_404(kept.id).update(model="v2")
        SampleGadget.lock_or_404(deleted.id).delete()
    sql.session.rollback()
    assert page(store)[0] == [kept.id]
    assert SampleGadget.get_or_404(kept.id).model == "v2"


@pytest.mark.parametrize("error", [ZeroDivisionError, NotFound, KeyboardInterrupt])
def test_a_unit_of_work_that_fails_leaves_nothing(context, error):
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


def test_sql_counts_the_versions_of_a_record(context):
    found = SampleGadget.lock_or_404(Gadgets().make("v1").id)
    first = found.version
    assert found.update(model="v2").version == first + 1
    assert found.update(model="v1").version == first + 2
    assert found.update(model="v1").version == first + 2, "nothing has changed"


def test_sql_makes_many_records_at_once_that_are_like_any_other(context):
    store = Gadgets()
    one = store.make("v1")
    SampleGadget.create_many([LAMP | {"model": f"v{n}"} for n in "23"], **store.mine)
    ids, _ = page(store)
    assert len(ids) == 3
    assert page(store, "q=V3")[0] == [ids[2]]
    made, many = (SampleGadget.as_json(SampleGadget.get_or_404(id)) for id in ids[:2])
    assert made["id"] == one.id
    own = {"url", "id", "model", "created_at", "updated_at"}
    assert {n: made[n] for n in made if n not in own} == {
        n: many[n] for n in many if n not in own
    }


# What Redis does


def test_of_two_who_read_the_same_only_the_first_changes_it(context):
    made = Signals().make("v1")
    first, second = SampleSignal.lock_or_404(made.id), SampleSignal.lock_or_404(made.id)
    first.update(firmware="first")
    with pytest.raises(Changed):
        second.update(firmware="second")
    with pytest.raises(Changed):
        SampleSignal.lock_or_404(made.id) and second.delete()
    assert SampleSignal.get_or_404(made.id).firmware == "first"
    first.update(firmware="again")  # who has changed it last may go on
    assert SampleSignal.get_or_404(made.id).firmware == "again"


def test_what_is_gone_meanwhile_does_not_come_back_by_an_update(context):
    made = Signals().make("v1")
    read = SampleSignal.lock_or_404(made.id)
    made.delete()
    with pytest.raises(Changed):
        read.update(firmware="v2")
    assert SampleSignal.get(made.id) is None


def test_of_two_who_create_the_same_only_the_first_does(context):
    store = Signals()
    store.make("first")
    store.ids = count(1)
    with pytest.raises(Changed):
        store.make("second")
    assert SampleSignal.get_or_404(1).firmware == "first"


@pytest.mark.parametrize("others", [1, 4])
def test_a_request_that_came_second_runs_anew(client, gadget, monkeypatch, others):
    url = f"/api/v1/sample_signals/{gadget['id']}"
    client.put(url, json={"firmware": "v1"})
    read = SampleSignal.get.__func__

    def overtaken(cls, id, **scope):
        """Read it, and somebody else changes it before we do."""
        nonlocal others
        found = read(cls, id, **scope)
        if others:
            others -= 1
            read(cls, id).update(firmware=f"other {others}")
        return found

    monkeypatch.setattr(SampleSignal, "get", classmethod(overtaken))
    response = client.put(url, json={"firmware": "v2", "battery": 5})
    assert response.status_code == 200
    assert (response.json["firmware"], response.json["battery"]) == ("v2", 5)


def test_a_request_that_never_comes_first_gives_up(client, gadget, monkeypatch):
    url = f"/api/v1/sample_signals/{gadget['id']}"

    def changed(*_):
        raise Changed

    monkeypatch.setattr(SampleSignal, "_swap", changed)
    response = client.put(url, json={})
    assert response.status_code in (409, 503)


def test_a_record_in_redis_lives_as_long_as_is_set(context, monkeypatch):
    monkeypatch.setattr(SampleSignal, "lifetime_seconds", 60)
    made = Signals().make("v1")
    assert 58 <= redis_store.ttl(f"{{sample_signals}}:{made.id}") <= 60
    lifetime = made.expires_at - made.updated_at
    assert lifetime.total_seconds() == 60


def test_what_has_expired_is_on_no_page(context, monkeypatch):
    store = Signals()
    kept = store.make("v1")
    monkeypatch.setattr(SampleSignal, "lifetime_seconds", -1)
    expired = store.make("v1")
    assert SampleSignal.get(expired.id) is None
    ids, meta = page(store)
    assert ids == [kept.id]
    assert meta["total"] == 1
