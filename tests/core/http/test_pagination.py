"""Pages: links reach every item, and no query makes the service fail."""

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
from support.assertions import assert_problem
from support.features.sample_gadgets.models import SampleGadget

GADGETS = "/api/v1/sample_gadgets/"
SIGNALS = "/api/v1/sample_signals/"
COLLECTIONS = [GADGETS, SIGNALS]
SORTS = "id -id name -name created_at -updated_at type,name -type,-location".split()
SORTS += ["-created_at,name", "location,-type,name", "name,-id", "-location,id"]
# Many records have equal values, so that sorting must break ties.
SORTED_DEVICES = [
    {
        **LAMP,
        "name": f"Name {n % 3}",
        "type": f"Type {n % 2}",
        "location": "Küche & Bad=2" if n % 5 else "Attic",
        "serial_number": str(n),
        "created_at": datetime(2026, 1, 1 + n * 7 % 4),
        "updated_at": datetime(2026, 2, 1 + n * 5 % 3),
    }
    for n in range(23)
]


def stock(app, bodies):
    """Create gadgets with these bodies, owned by pythonista."""
    with app.app_context(), unit_of_work():
        SampleGadget.create_many(bodies, owner_id=User.find("pythonista").id)


@pytest.fixture
def sorted_devices(app, client):
    """Create the gadgets of SORTED_DEVICES and return them as the service lists them."""
    stock(app, SORTED_DEVICES)
    return client.get(GADGETS, query_string={"per_page": 100}).json["items"]


def in_order(items, sort):
    """Sort `items` by the fields of `sort`, and ties by id in the last one's direction."""
    fields = sort.split(",")
    fields.append(re.sub(r"\w+$", "id", fields[-1]))
    for field in reversed(fields):
        key = itemgetter(field.removeprefix("-"))
        items = sorted(items, key=key, reverse=field.startswith("-"))
    return items


def in_pages(items, size):
    return [items[start : start + size] for start in range(0, len(items), size)]


def walk(client, address, rel):
    """Return the pages from `address` on, following the links `rel`, at most 100."""
    pages = []
    while address and len(pages) < 100:
        pages.append(client.get(address).json)
        address = pages[-1]["meta"][rel]
    return pages


def items_of(pages):
    return [page["items"] for page in pages]


# Links


def follow_links(client, page, *rels):
    return [page["meta"][rel] and client.get(page["meta"][rel]).json for rel in rels]


@pytest.mark.parametrize(
    "sort, per_page",
    [(sort, 5) for sort in SORTS]
    + [(sort, size) for sort in ("id", "-created_at,name") for size in (1, 22, 23, 24)],
)
def test_links_and_numbers_lead_to_the_same_pages(
    client, sorted_devices, sort, per_page
):
    expected = in_pages(in_order(sorted_devices, sort), per_page)
    url, length = f"{GADGETS}?sort={sort}&per_page={per_page}", len(expected)
    there = walk(client, url, "next")
    assert items_of(there) == expected
    assert items_of(walk(client, f"{url}&total=none", "next")) == expected
    assert [page["meta"]["page"] for page in there] == list(range(1, length + 1))
    assert {page["meta"]["total"] for page in there} == {23}
    assert items_of(walk(client, there[-1]["meta"]["prev"], "prev")) == expected[-2::-1]
    back = walk(client, there[0]["meta"]["last"], "prev")
    assert items_of(back) == expected[::-1]
    assert (there[0]["meta"]["prev"], back[0]["meta"]["next"]) == (None, None)
    assert [page["meta"]["page"] for page in back] == list(range(length, 0, -1))
    for page, following in zip(back[1:], back):
        assert items_of(follow_links(client, page, "next")) == [following["items"]]
    for number, items in enumerate(expected, 1):
        page = client.get(f"{url}&page={number}").json
        assert (page["items"], page["meta"]["pages"]) == (items, length)
        linked = [page, *follow_links(client, page, "first", "prev", "next", "last")]
        for each, to in zip(linked, (number, 1, number - 1, number + 1, length)):
            if 1 <= to <= length:
                assert (each["items"], each["meta"]["page"]) == (expected[to - 1], to)
            else:
                assert each is None


@pytest.mark.parametrize(
    "query",
    [{"page": number} for number in (1, 3, 5, 6)]
    + [{"q": "name", "type": "Type 1", "sort": "-name"}, {"total": "none", "page": 2}]
    + [{"q": 'no such>, <x>; rel="next"'}],
)
@pytest.mark.parametrize("verb", ["GET", "HEAD"])
def test_the_link_header_has_the_links_of_meta(client, sorted_devices, verb, query):
    query = {"per_page": 5, **query}
    meta = client.get(GADGETS, query_string=query).json["meta"]
    header = client.open(GADGETS, method=verb, query_string=query).headers["Link"]
    links = re.findall(r'<([^<>]*)>; rel="(\w+)"(?:, |$)', header)
    known = [rel for rel in ("first", "prev", "next", "last") if meta[rel]]
    assert [rel for _, rel in links] == known
    assert all(meta[rel] == address for address, rel in links)


@pytest.mark.parametrize("address", [GADGETS, GADGETS.rstrip("/")])
def test_links_keep_the_query_parameters(client, sorted_devices, address):
    query = {
        "type": "Type 1",
        "location": "Küche & Bad=2",
        "q": "NAME",
        "sort": "-name",
    }
    query |= {"per_page": "2", "view": "items", "total": "exact"}
    wanted = [
        d
        for d in sorted_devices
        if d["type"] == "Type 1" and d["location"] == "Küche & Bad=2"
    ]
    meta = client.get(address, query_string={**query, "page": 2}).json["meta"]
    for rel in ("first", "prev", "next", "last"):
        link = urlsplit(meta[rel])
        linked = parse_qs(link.query)
        linked.pop("cursor", None)
        assert (link.netloc, link.path) == ("localhost", GADGETS)
        assert linked == {name: [value] for name, value in query.items()}
    pages = walk(client, meta["first"], "next")
    assert items_of(pages) == in_pages(in_order(wanted, "-name"), 2)


# Totals


@pytest.mark.parametrize("address", COLLECTIONS)
def test_the_page_of_an_empty_collection(client, address):
    response = client.get(address)
    assert response.status_code == 200
    counts = {"page": 1, "per_page": 20, "pages": 0, "total": 0, "total_exact": True}
    links = {"first": f"http://localhost{address}"}
    links |= dict.fromkeys(["prev", "next", "last"])
    assert response.json == {"items": [], "meta": counts | links}
    for total in GOOD["total"]:
        body = client.get(f"{address}?page=2&total={total}").json
        assert body["items"] == []
        assert (body["meta"]["prev"], body["meta"]["next"]) == (None, None)


def test_a_page_holds_20_items_by_default_and_at_most_100(app, client, sorted_devices):
    body = client.get(GADGETS).json
    assert body["items"] == sorted_devices[:20]
    assert (body["meta"]["per_page"], body["meta"]["pages"]) == (20, 2)
    stock(app, SORTED_DEVICES * 4)
    pages = walk(client, f"{GADGETS}?per_page=101", "next")
    assert [len(page["items"]) for page in pages] == [100, 15]
    assert {page["meta"]["per_page"] for page in pages} == {100}
    most = client.get(f"{GADGETS}?per_page={2**31 - 1}").json
    assert most["items"] == pages[0]["items"]


@pytest.mark.parametrize("page", [6, 7, 2**31 - 1])
def test_a_page_beyond_the_end_is_empty_and_links_back(client, sorted_devices, page):
    response = client.get(f"{GADGETS}?per_page=5&page={page}")
    assert (response.status_code, response.json["items"]) == (200, [])
    meta = response.json["meta"]
    assert (meta["page"], meta["pages"], meta["next"]) == (page, 5, None)
    assert client.get(meta["prev"]).json["items"] == sorted_devices[20:]


def test_the_total_is_counted_up_to_10000(app, client):
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


# Concurrent changes


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("rel", ["next", "prev"])
def test_unchanged_items_are_listed_once_while_others_come_and_go(
    app, client, sorted_devices, sort, rel
):
    meta = client.get(f"{GADGETS}?sort={sort}&per_page=5").json["meta"]
    address = meta["first" if rel == "next" else "last"]
    seen, deleted = [], set()
    while address:
        page = client.get(address).json
        seen += page["items"] if rel == "next" else page["items"][::-1]
        # Delete both ends of this page, where the cursors point, and add others.
        for item in page["items"][:: max(len(page["items"]) - 1, 1)]:
            client.delete(item["url"])
            deleted.add(item["id"])
        if len(seen) < 30:
            stock(app, SORTED_DEVICES[:2])
        address = page["meta"][rel]
    known = {item["id"] for item in sorted_devices}
    old = [item for item in seen if item["id"] in known]
    expected = in_order(sorted_devices, sort)
    assert old == (expected if rel == "next" else expected[::-1])
    assert len({item["id"] for item in seen}) == len(seen)
    assert deleted


def test_a_link_to_deleted_items_leads_to_an_empty_page(client, sorted_devices):
    address = client.get(f"{GADGETS}?per_page=20").json["meta"]["next"]
    for item in sorted_devices[20:]:
        client.delete(item["url"])
    page = client.get(address).json
    assert (page["items"], page["meta"]["next"]) == ([], None)
    assert client.get(page["meta"]["prev"]).json["items"] == sorted_devices[:20]


# Invalid queries

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
# Invalid values that the documented schema accepts, because it cannot be more precise.
OPAQUE = {"cursor": ["x", "W10", "AAAA", "bnVsbA"]}


@pytest.mark.parametrize("name", [*GOOD, "cursor"])
@pytest.mark.parametrize("address", COLLECTIONS)
def test_values_are_accepted_or_refused_as_documented(client, address, name):
    verbs = client.get("/openapi.json").json["paths"][address.rstrip("/")]
    schemas = {each["name"]: each["schema"] for each in verbs["get"]["parameters"]}
    schema = schemas[name]
    fits = jsonschema_rs.validator_for(schema, validate_formats=True).is_valid
    for value in GOOD.get(name, ()):
        assert client.get(address, query_string={name: value}).status_code == 200
        assert fits(read_as(schema, value)), value
    for value in [*BAD[name], *([value, value] for value in GOOD.get(name, "x"))]:
        problem = assert_problem(client.get(address, query_string={name: value}), 400)
        assert [error["pointer"] for error in problem["errors"]] == [f"/{name}"]
    for value in set(BAD[name]) - set(OPAQUE.get(name, ())):
        assert not fits(read_as(schema, value)), value


def read_as(schema, text):
    """Return the value that `text` in a query has for a schema."""
    digits = re.fullmatch("-?[0-9]+", text, re.ASCII)
    return int(text) if schema.get("type") == "integer" and digits else text


def test_only_the_first_occurrence_of_a_sort_field_counts(client, sorted_devices):
    sorts = ("name,-type,-name,type", "name,-type")
    one, other = (client.get(f"{GADGETS}?sort={sort}").json["items"] for sort in sorts)
    assert one == other


# Cursors


def cursor_of(client, sort="id"):
    """Return the decoded cursor of a page in the middle, as a list."""
    query = {"sort": sort, "per_page": 5, "page": 2}
    link = client.get(GADGETS, query_string=query).json["meta"]["next"]
    (cursor,) = parse_qs(urlsplit(link).query)["cursor"]
    return orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))


def encode_cursor(value):
    return urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()


def follow(client, sort, cursor):
    return client.get(GADGETS, query_string={"sort": sort, "cursor": cursor})


NO_TIMES = "", "now", "2026-01-01", "0001-01-01T00:00:00+23:59"
# What else the parts of a cursor must not be, by their place.
TAMPERED = {
    ("id", 0): [None, "name", "id,name"],
    ("id", 1): [[True], {}],
    ("id", 2): [0, None],
    ("id", 3): [-1, "2"],
    ("id", 4): [101, False],
    ("name", 1): [["a\0b", 1], [["x"], 1]],
    ("created_at", 1): [[text, 1] for text in NO_TIMES],
}


@pytest.mark.parametrize(
    "sort, place, value", [(*key, value) for key in TAMPERED for value in TAMPERED[key]]
)
def test_a_cursor_that_was_tampered_with_is_refused(
    client, sorted_devices, sort, place, value
):
    cursor = cursor_of(client, sort)
    assert follow(client, sort, encode_cursor(cursor)).status_code == 200
    cursor[place] = value
    assert follow(client, sort, encode_cursor(cursor)).status_code == 400


def test_a_link_of_another_account_shows_no_item(client, engineer, sorted_devices):
    address = client.get(f"{GADGETS}?per_page=5").json["meta"]["next"]
    assert client.get(address).json["items"] == sorted_devices[5:10]
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
KINDS = st.sampled_from(["id", "-name", "created_at", "-created_at,name"])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(KINDS, JSON, st.data())
def test_no_cursor_breaks_the_service(client, sorted_devices, sort, json, data):
    assert follow(client, sort, encode_cursor(json)).status_code == 400
    cursor = cursor_of(client, sort)
    names = re.findall(r"\w+", cursor[0])
    cursor[1] = [data.draw(FITTING[name] | JSON) for name in names]
    assert follow(client, sort, encode_cursor(cursor)).status_code in (200, 400)
