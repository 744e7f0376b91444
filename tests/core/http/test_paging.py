"""A collection in pages: its links lead everywhere, and nothing in a query breaks it."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from operator import itemgetter
from urllib.parse import parse_qs, urlsplit

import jsonschema_rs
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import LAMP
from myapp.core.data.session import unit_of_work
from myapp.users.models import User
from support.features.sample_gadgets.models import SampleGadget

GADGETS = "/api/v1/sample_gadgets/"
SIGNALS = "/api/v1/sample_signals/"
COLLECTIONS = [GADGETS, SIGNALS]
SORTS = [
    "id",
    "-id",
    "name",
    "-name",
    "created_at",
    "-updated_at",
    "type,name",
    "-type,-location",
    "-created_at,name",
    "location,-type,name",
    "name,-id",
]
# Many are alike, so that a walk must tell ties apart.
SHELF = [
    {
        **LAMP,
        "name": f"Name {n % 3}",
        "type": f"Type {n % 2}",
        "location": "Küche" if n % 5 else "Attic",
        "serial_number": str(n),
        "created_at": datetime(2026, 1, 1 + n * 7 % 4),
        "updated_at": datetime(2026, 2, 1 + n * 5 % 3),
    }
    for n in range(23)
]


def stock(app, bodies):
    """Have pythonista own gadgets of these bodies."""
    with app.app_context(), unit_of_work():
        SampleGadget.create_many(bodies, owner_id=User.find("pythonista").id)


@pytest.fixture
def shelf(app, client):
    """The gadgets of SHELF, as the service shows them."""
    stock(app, SHELF)
    return client.get(GADGETS, query_string={"per_page": 100}).json["items"]


def in_order(items, sort):
    """`items` by each field of `sort`; ties by id, in the direction of the last one."""
    fields = sort.split(",")
    fields.append(re.sub(r"\w+$", "id", fields[-1]))
    for field in reversed(fields):
        key = itemgetter(field.removeprefix("-"))
        items = sorted(items, key=key, reverse=field.startswith("-"))
    return items


def in_pages(items, size):
    return [items[start : start + size] for start in range(0, len(items), size)]


def walk(client, address, rel):
    """The pages from `address` on, as `rel` leads, 100 of them at most."""
    pages = []
    while address and len(pages) < 100:
        pages.append(client.get(address).json)
        address = pages[-1]["meta"][rel]
    return pages


def items_of(pages):
    return [page["items"] for page in pages]


# Links


@pytest.mark.parametrize("sort", SORTS)
def test_next_leads_through_everything_once_and_in_order(client, shelf, sort):
    pages = walk(client, f"{GADGETS}?sort={sort}&per_page=5", "next")
    assert items_of(pages) == in_pages(in_order(shelf, sort), 5)
    assert [page["meta"]["page"] for page in pages] == [1, 2, 3, 4, 5]
    assert {page["meta"]["total"] for page in pages} == {23}


@pytest.mark.parametrize("sort", SORTS)
def test_prev_leads_back_the_same_way(client, shelf, sort):
    there = walk(client, f"{GADGETS}?sort={sort}&per_page=5", "next")
    back = walk(client, there[-1]["meta"]["prev"], "prev")
    assert items_of(back) == items_of(there)[-2::-1]
    assert [page["meta"]["page"] for page in back] == [4, 3, 2, 1]


@pytest.mark.parametrize("sort", SORTS)
def test_from_prev_there_is_a_way_forward_again(client, shelf, sort):
    there = walk(client, f"{GADGETS}?sort={sort}&per_page=5", "next")
    third = client.get(there[3]["meta"]["prev"]).json
    assert items_of(walk(client, third["meta"]["next"], "next")) == items_of(there)[3:]


@pytest.mark.parametrize("per_page", [1, 5, 22, 23, 24])
@pytest.mark.parametrize("sort", ["id", "-created_at,name"])
def test_first_and_last_lead_to_both_ends(client, shelf, sort, per_page):
    expected = in_pages(in_order(shelf, sort), per_page)
    for page in range(1, len(expected) + 1):
        query = {"sort": sort, "per_page": per_page, "page": page}
        meta = client.get(GADGETS, query_string=query).json["meta"]
        first, last = (client.get(meta[rel]).json for rel in ("first", "last"))
        assert (first["items"], last["items"]) == (expected[0], expected[-1])
        assert (first["meta"]["prev"], last["meta"]["next"]) == (None, None)
        assert first["meta"]["page"] == 1
        assert last["meta"]["page"] == meta["pages"] == len(expected)


def test_prev_leads_from_the_last_page_to_the_first(client, shelf):
    last = client.get(f"{GADGETS}?per_page=5").json["meta"]["last"]
    assert items_of(walk(client, last, "prev")) == in_pages(shelf, 5)[::-1]


@pytest.mark.parametrize("sort", SORTS)
def test_a_numbered_page_is_the_one_that_the_links_lead_to(client, shelf, sort):
    for number, page in enumerate(in_pages(in_order(shelf, sort), 5), 1):
        query = {"sort": sort, "per_page": 5, "page": number}
        found = client.get(GADGETS, query_string=query).json
        assert found["items"] == page
        assert found["meta"]["page"] == number
        assert bool(found["meta"]["prev"]) is (number > 1)
        assert bool(found["meta"]["next"]) is (number < 5)


def test_links_lead_on_from_a_numbered_page(client, shelf):
    meta = client.get(f"{GADGETS}?per_page=5&page=3").json["meta"]
    for rel, number in {"prev": 1, "next": 3}.items():
        assert client.get(meta[rel]).json["items"] == in_pages(shelf, 5)[number]


@pytest.mark.parametrize(
    "query",
    [
        {"page": 1},
        {"page": 3},
        {"page": 5},
        {"page": 6},
        {"q": "name", "type": "Type 1", "sort": "-name"},
        {"total": "none", "page": 2},
        {"q": 'no such>, <x>; rel="next"'},
    ],
)
@pytest.mark.parametrize("verb", ["GET", "HEAD"])
def test_the_link_header_says_what_meta_says(client, shelf, verb, query):
    query = {"per_page": 5, **query}
    meta = client.get(GADGETS, query_string=query).json["meta"]
    header = client.open(GADGETS, method=verb, query_string=query).headers["Link"]
    links = re.findall(r'<([^<>]*)>; rel="(\w+)"(?:, |$)', header)
    assert [rel for _, rel in links] == [
        rel for rel in ("first", "prev", "next", "last") if meta[rel]
    ]
    assert all(meta[rel] == address for address, rel in links)


def test_links_ask_for_the_same_in_the_same_way(client, shelf):
    query = {
        "type": "Type 1",
        "location": "Küche",
        "q": "NAME",
        "sort": "-name",
        "per_page": "2",
        "view": "items",
        "total": "exact",
        "colour": "a&b=c",
    }
    wanted = [d for d in shelf if d["type"] == "Type 1" and d["location"] == "Küche"]
    meta = client.get(GADGETS, query_string={**query, "page": 2}).json["meta"]
    for rel in ("first", "prev", "next", "last"):
        link = urlsplit(meta[rel])
        asked = parse_qs(link.query)
        asked.pop("cursor", None)
        assert (link.netloc, link.path) == ("localhost", GADGETS)
        assert asked == {name: [value] for name, value in query.items()}
    pages = walk(client, meta["first"], "next")
    assert items_of(pages) == in_pages(in_order(wanted, "-name"), 2)


def test_links_from_an_address_without_its_slash_lead_on(client, shelf):
    pages = walk(client, GADGETS.rstrip("/") + "?per_page=10", "next")
    assert items_of(pages) == in_pages(shelf, 10)


# How many


@pytest.mark.parametrize("address", COLLECTIONS)
def test_a_page_of_nothing_is_a_page(client, address):
    found = client.get(address)
    assert found.status_code == 200
    assert found.json == {
        "items": [],
        "meta": {
            "page": 1,
            "per_page": 20,
            "pages": 0,
            "total": 0,
            "total_exact": True,
            "first": f"http://localhost{address}",
            "prev": None,
            "next": None,
            "last": None,
        },
    }


def test_a_page_holds_20_unless_asked(client, shelf):
    found = client.get(GADGETS).json
    assert found["items"] == shelf[:20]
    assert (found["meta"]["per_page"], found["meta"]["pages"]) == (20, 2)


def test_a_page_holds_100_at_most(app, client, shelf):
    stock(app, SHELF * 4)
    pages = walk(client, f"{GADGETS}?per_page=101", "next")
    assert [len(page["items"]) for page in pages] == [100, 15]
    assert {page["meta"]["per_page"] for page in pages} == {100}
    assert client.get(f"{GADGETS}?per_page={2**31 - 1}").json["items"] == (
        pages[0]["items"]
    )


@pytest.mark.parametrize("page", [6, 7, 2**31 - 1])
def test_beyond_the_end_there_is_nothing_but_a_way_back(client, shelf, page):
    found = client.get(f"{GADGETS}?per_page=5&page={page}")
    assert found.status_code == 200
    assert found.json["items"] == []
    meta = found.json["meta"]
    assert (meta["page"], meta["pages"], meta["next"]) == (page, 5, None)
    assert client.get(meta["prev"]).json["items"] == shelf[20:]


@pytest.mark.parametrize("total", ["capped", "exact", "none"])
def test_beyond_the_end_of_nothing_there_is_nothing(client, total):
    found = client.get(f"{GADGETS}?page=2&total={total}").json
    assert found["items"] == []
    assert (found["meta"]["prev"], found["meta"]["next"]) == (None, None)


def test_a_total_is_left_out_on_request(client, shelf):
    pages = walk(client, f"{GADGETS}?total=none&per_page=5", "next")
    assert items_of(pages) == in_pages(shelf, 5)
    for page in pages:
        meta = page["meta"]
        assert (meta["total"], meta["pages"], meta["last"]) == (None, None, None)
        assert meta["total_exact"] is False


def test_a_total_is_counted_up_to_10000(app, client):
    stock(app, [LAMP] * 10_001)

    def counted(query):
        meta = client.get(f"{GADGETS}?per_page=100&{query}").json["meta"]
        return meta["total"], meta["total_exact"], meta["pages"], bool(meta["last"])

    assert counted("") == (10_000, False, None, False)
    assert counted("page=100") == (10_000, False, None, False)
    assert counted("total=exact") == (10_001, True, 101, True)
    assert counted("total=none") == (None, False, None, False)
    beyond = client.get(f"{GADGETS}?per_page=100&page=101").json
    assert len(beyond["items"]) == 1 and beyond["meta"]["next"] is None
    client.delete(beyond["items"][0]["url"])
    assert counted("") == (10_000, True, 100, True)


# While things change


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("rel", ["next", "prev"])
def test_what_nobody_touches_is_seen_once_whatever_happens_meanwhile(
    app, client, shelf, sort, rel
):
    meta = client.get(f"{GADGETS}?sort={sort}&per_page=5").json["meta"]
    address = meta["first" if rel == "next" else "last"]
    seen, deleted = [], set()
    while address:
        page = client.get(address).json
        seen += page["items"] if rel == "next" else page["items"][::-1]
        # Both ends of this page go, the cursor's place with them, and others come in.
        for item in page["items"][:: max(len(page["items"]) - 1, 1)]:
            client.delete(item["url"])
            deleted.add(item["id"])
        if len(seen) < 30:
            stock(app, SHELF[:2])
        address = page["meta"][rel]
    known = {item["id"] for item in shelf}
    old = [item for item in seen if item["id"] in known]
    expected = in_order(shelf, sort)
    assert old == (expected if rel == "next" else expected[::-1])
    assert len({item["id"] for item in seen}) == len(seen)
    assert deleted


def test_a_link_to_what_is_gone_meanwhile_leads_to_an_empty_page(client, shelf):
    address = client.get(f"{GADGETS}?per_page=20").json["meta"]["next"]
    for item in shelf[20:]:
        client.delete(item["url"])
    page = client.get(address).json
    assert page["items"] == []
    assert page["meta"]["next"] is None
    assert client.get(page["meta"]["prev"]).json["items"] == shelf[:20]


# Views


def test_a_view_shows_only_where_the_items_are(client, shelf):
    pages = walk(client, f"{GADGETS}?view=urls&sort=-name&per_page=5", "next")
    assert all(page.keys() == {"urls", "meta"} for page in pages)
    urls = [item["url"] for item in in_order(shelf, "-name")]
    assert [page["urls"] for page in pages] == in_pages(urls, 5)
    assert pages[0]["meta"]["total"] == 23


# Bad queries

BAD = {
    "page": ["0", "-1", "x", "", "1.5", "1e1", "+1", " 1", "٣", "2147483648", "9" * 99],
    "per_page": ["0", "-5", "many", "", "9" * 99],
    "sort": ["nonsense", "", "-", "--id", "id,", "id name", "+id", "url"],
    "view": ["", "all", "URLS"],
    "total": ["", "yes", "Exact"],
    "id": ["", "x", "1.0", str(2**63), "9" * 99, "٣"],
    "created_at": ["", "today", "2026-11-21", "2026-11-21T07:40:00", "0001-13-01"],
    "q": ["a\0b"],
    "cursor": ["", "x", "!!!", "é", "W10", "AAAA", "bnVsbA", "\0"],
}


GOOD = {
    "page": ["1", "7"],
    "per_page": ["1", "100000"],
    "sort": ["id", "-id", "id,-id"],
    "view": ["items", "urls"],
    "total": ["capped", "exact", "none"],
    "id": ["0", "-1", "1", str(2**63 - 1), str(1 - 2**63)],
    "created_at": ["2026-11-21T07:40:00Z", "0001-01-01t00:00:00-12:00"],
    "q": ["", "a b", "é"],
}
# Where the document knows no more than that a text is what it seems.
OPAQUE = {"cursor": ["x", "W10", "AAAA", "bnVsbA"]}


@pytest.mark.parametrize("name", [*GOOD, "cursor"])
@pytest.mark.parametrize("address", COLLECTIONS)
def test_the_document_tells_a_good_value_from_a_bad_one(client, address, name):
    verbs = client.get("/openapi.json").json["paths"][address.rstrip("/")]
    schemas = {told["name"]: told["schema"] for told in verbs["get"]["parameters"]}
    schema = schemas[name]
    fits = jsonschema_rs.validator_for(schema, validate_formats=True).is_valid
    for value in GOOD.get(name, ()):
        assert client.get(address, query_string={name: value}).status_code == 200
        assert fits(read_as(schema, value)), value
    for value in set(BAD[name]) - set(OPAQUE.get(name, ())):
        assert not fits(read_as(schema, value)), value


def read_as(schema, text):
    """What a client means by a text in a query."""
    digits = re.fullmatch("-?[0-9]+", text, re.ASCII)
    return int(text) if schema.get("type") == "integer" and digits else text


def test_a_field_that_is_named_again_sorts_no_further(client, shelf):
    def order(sort):
        items = client.get(GADGETS, query_string={"sort": sort}).json["items"]
        return [item["id"] for item in items]

    assert order("name,-type,-name,type") == order("name,-type")


@pytest.mark.parametrize("name, value", [(n, v) for n in BAD for v in BAD[n]])
@pytest.mark.parametrize("address", COLLECTIONS)
def test_a_bad_value_is_told_with_its_place(client, address, name, value):
    refused = client.get(address, query_string={name: value})
    assert refused.status_code == 400
    assert refused.mimetype == "application/problem+json"
    (error,) = refused.json["errors"]
    assert error["pointer"] == f"/{name}"


@pytest.mark.parametrize("name", [*BAD, "name"])
def test_a_value_that_is_given_twice_is_bad(client, name):
    good = {"page": 1, "per_page": 1, "sort": "id", "view": "urls", "total": "none"}
    value = good.get(name, "x")
    refused = client.get(f"{GADGETS}?{name}={value}&{name}={value}")
    assert refused.status_code == 400
    assert [error["pointer"] for error in refused.json["errors"]] == [f"/{name}"]


@pytest.mark.parametrize("address", COLLECTIONS)
def test_every_fault_of_a_query_is_told_at_once(client, address):
    refused = client.get(address, query_string={name: BAD[name][0] for name in BAD})
    assert refused.status_code == 400
    told = [error["pointer"] for error in refused.json["errors"]]
    assert sorted(told) == sorted(f"/{name}" for name in BAD)
    assert all(error["detail"] for error in refused.json["errors"])


# Cursors


def cursor_of(client, sort="id"):
    """A cursor of ours, to a page in the middle, opened: a list of what it says."""
    query = {"sort": sort, "per_page": 5, "page": 2}
    link = client.get(GADGETS, query_string=query).json["meta"]["next"]
    (cursor,) = parse_qs(urlsplit(link).query)["cursor"]
    return orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))


def closed(value):
    return urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()


def follow(client, sort, cursor):
    return client.get(GADGETS, query_string={"sort": sort, "cursor": cursor})


@pytest.mark.parametrize("other", ["-id", "name", "id,name", "name,-id"])
def test_a_cursor_of_another_sort_is_refused(client, shelf, other):
    cursor = closed(cursor_of(client))
    assert follow(client, "id", cursor).status_code == 200
    refused = follow(client, other, cursor)
    assert refused.status_code == 400
    assert [error["pointer"] for error in refused.json["errors"]] == ["/cursor"]


def test_a_cursor_of_another_collection_is_refused_or_harmless(client, shelf):
    cursor = closed(cursor_of(client, "name"))
    assert client.get(f"{SIGNALS}?cursor={cursor}").status_code == 400


@pytest.mark.parametrize(
    "place, value",
    [
        (0, "name"),
        (0, None),
        (1, None),  # the very end lies ahead of nothing
        (1, []),
        (1, ["x"]),
        (1, [1.5]),
        (1, [True]),
        (1, [None]),
        (1, [2**63]),
        (1, [1, 2]),
        (1, {}),
        (1, 7),
        (2, 0),
        (2, None),
        (3, 0),
        (3, -1),
        (3, 2**31),
        (3, "2"),
        (3, True),
        (4, -1),
        (4, 101),
        (4, False),
    ],
)
def test_a_cursor_that_was_tampered_with_is_refused(client, shelf, place, value):
    opened = cursor_of(client)
    assert follow(client, "id", closed(opened)).status_code == 200
    opened[place] = value
    assert follow(client, "id", closed(opened)).status_code == 400


@pytest.mark.parametrize(
    "sort, value",
    [("name", 7), ("name", None), ("name", "a\0b"), ("name", ["x"])]
    + [("created_at", value) for value in (7, None, "", "now", "2026-01-01")]
    + [("created_at", "0001-01-01T00:00:00+23:59")],
)
def test_a_value_of_another_type_in_a_cursor_is_refused(client, shelf, sort, value):
    opened = cursor_of(client, sort)
    assert follow(client, sort, closed(opened)).status_code == 200
    opened[1][0] = value
    assert follow(client, sort, closed(opened)).status_code == 400


@pytest.mark.parametrize("value", [None, [], {}, 7, "12345", ["id"] * 6, "id", True])
def test_json_that_is_no_cursor_is_refused(client, shelf, value):
    assert follow(client, "id", closed(value)).status_code == 400


def test_a_link_of_somebody_else_shows_nothing_of_theirs(client, engineer, shelf):
    address = client.get(f"{GADGETS}?per_page=5").json["meta"]["next"]
    assert client.get(address).json["items"] == shelf[5:10]
    assert engineer.get(address).json["items"] == []


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
INTEGERS = st.integers(-(2**63), 2**64 - 1)
TIMES = st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(TEXT, inner),
    max_leaves=8,
)
FITTING = {"id": INTEGERS, "name": TEXT, "created_at": TIMES}
fuzz = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=100,
    deadline=None,
)


@fuzz
@given(JSON)
def test_no_json_in_place_of_a_cursor_breaks_the_service(client, value):
    assert follow(client, "id", closed(value)).status_code == 400


@fuzz
@given(
    sort=st.sampled_from(["id", "-name", "created_at", "-created_at,name"]),
    data=st.data(),
)
def test_no_value_in_a_cursor_breaks_the_service(client, shelf, sort, data):
    opened = cursor_of(client, sort)
    names = re.findall(r"\w+", opened[0])
    opened[1] = [data.draw(FITTING[name] | JSON) for name in names]
    answer = follow(client, sort, closed(opened))
    assert answer.status_code in (200, 400)


@fuzz
@given(st.text(st.characters(codec="utf-8")) | st.binary().map(urlsafe_b64encode))
def test_no_text_in_place_of_a_cursor_breaks_the_service(client, text):
    assert follow(client, "id", text).status_code == 400
