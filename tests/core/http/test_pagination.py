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


@pytest.mark.parametrize("sort", SORTS)
def test_next_links_visit_every_item_once_and_in_order(client, sorted_devices, sort):
    pages = walk(client, f"{GADGETS}?sort={sort}&per_page=5", "next")
    assert items_of(pages) == in_pages(in_order(sorted_devices, sort), 5)
    assert [page["meta"]["page"] for page in pages] == [1, 2, 3, 4, 5]
    assert {page["meta"]["total"] for page in pages} == {23}


@pytest.mark.parametrize("sort", SORTS)
def test_prev_links_visit_the_same_pages_backwards(client, sorted_devices, sort):
    there = walk(client, f"{GADGETS}?sort={sort}&per_page=5", "next")
    back = walk(client, there[-1]["meta"]["prev"], "prev")
    assert items_of(back) == items_of(there)[-2::-1]
    assert [page["meta"]["page"] for page in back] == [4, 3, 2, 1]


@pytest.mark.parametrize("sort", SORTS)
def test_the_next_link_of_a_previous_page_leads_forward_again(
    client, sorted_devices, sort
):
    there = walk(client, f"{GADGETS}?sort={sort}&per_page=5", "next")
    third = client.get(there[3]["meta"]["prev"]).json
    assert items_of(walk(client, third["meta"]["next"], "next")) == items_of(there)[3:]


@pytest.mark.parametrize("per_page", [1, 5, 22, 23, 24])
@pytest.mark.parametrize("sort", ["id", "-created_at,name"])
def test_first_and_last_link_to_both_ends(client, sorted_devices, sort, per_page):
    expected = in_pages(in_order(sorted_devices, sort), per_page)
    for page in range(1, len(expected) + 1):
        query = {"sort": sort, "per_page": per_page, "page": page}
        meta = client.get(GADGETS, query_string=query).json["meta"]
        first, last = (client.get(meta[rel]).json for rel in ("first", "last"))
        assert (first["items"], last["items"]) == (expected[0], expected[-1])
        assert (first["meta"]["prev"], last["meta"]["next"]) == (None, None)
        assert first["meta"]["page"] == 1
        assert last["meta"]["page"] == meta["pages"] == len(expected)


def test_prev_links_lead_from_the_last_page_to_the_first(client, sorted_devices):
    last = client.get(f"{GADGETS}?per_page=5").json["meta"]["last"]
    assert items_of(walk(client, last, "prev")) == in_pages(sorted_devices, 5)[::-1]


@pytest.mark.parametrize("sort", SORTS)
def test_a_numbered_page_is_the_page_that_the_links_lead_to(
    client, sorted_devices, sort
):
    for number, page in enumerate(in_pages(in_order(sorted_devices, sort), 5), 1):
        query = {"sort": sort, "per_page": 5, "page": number}
        body = client.get(GADGETS, query_string=query).json
        assert body["items"] == page
        assert body["meta"]["page"] == number
        assert bool(body["meta"]["prev"]) is (number > 1)
        assert bool(body["meta"]["next"]) is (number < 5)


def test_a_numbered_page_links_to_its_neighbours(client, sorted_devices):
    meta = client.get(f"{GADGETS}?per_page=5&page=3").json["meta"]
    for rel, number in {"prev": 1, "next": 3}.items():
        assert (
            client.get(meta[rel]).json["items"] == in_pages(sorted_devices, 5)[number]
        )


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
def test_the_link_header_has_the_links_of_meta(client, sorted_devices, verb, query):
    query = {"per_page": 5, **query}
    meta = client.get(GADGETS, query_string=query).json["meta"]
    header = client.open(GADGETS, method=verb, query_string=query).headers["Link"]
    links = re.findall(r'<([^<>]*)>; rel="(\w+)"(?:, |$)', header)
    assert [rel for _, rel in links] == [
        rel for rel in ("first", "prev", "next", "last") if meta[rel]
    ]
    assert all(meta[rel] == address for address, rel in links)


def test_links_keep_the_query_parameters(client, sorted_devices):
    query = {
        "type": "Type 1",
        "location": "Küche & Bad=2",
        "q": "NAME",
        "sort": "-name",
        "per_page": "2",
        "view": "items",
        "total": "exact",
    }
    wanted = [
        d
        for d in sorted_devices
        if d["type"] == "Type 1" and d["location"] == "Küche & Bad=2"
    ]
    meta = client.get(GADGETS, query_string={**query, "page": 2}).json["meta"]
    for rel in ("first", "prev", "next", "last"):
        link = urlsplit(meta[rel])
        linked = parse_qs(link.query)
        linked.pop("cursor", None)
        assert (link.netloc, link.path) == ("localhost", GADGETS)
        assert linked == {name: [value] for name, value in query.items()}
    pages = walk(client, meta["first"], "next")
    assert items_of(pages) == in_pages(in_order(wanted, "-name"), 2)


def test_links_work_from_a_url_without_its_trailing_slash(client, sorted_devices):
    pages = walk(client, GADGETS.rstrip("/") + "?per_page=10", "next")
    assert items_of(pages) == in_pages(sorted_devices, 10)


# Totals


@pytest.mark.parametrize("address", COLLECTIONS)
def test_the_page_of_an_empty_collection(client, address):
    response = client.get(address)
    assert response.status_code == 200
    assert response.json == {
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


def test_a_page_holds_20_items_by_default(client, sorted_devices):
    body = client.get(GADGETS).json
    assert body["items"] == sorted_devices[:20]
    assert (body["meta"]["per_page"], body["meta"]["pages"]) == (20, 2)


def test_a_page_holds_at_most_100_items(app, client, sorted_devices):
    stock(app, SORTED_DEVICES * 4)
    pages = walk(client, f"{GADGETS}?per_page=101", "next")
    assert [len(page["items"]) for page in pages] == [100, 15]
    assert {page["meta"]["per_page"] for page in pages} == {100}
    assert client.get(f"{GADGETS}?per_page={2**31 - 1}").json["items"] == (
        pages[0]["items"]
    )


@pytest.mark.parametrize("page", [6, 7, 2**31 - 1])
def test_a_page_beyond_the_end_is_empty_and_links_back(client, sorted_devices, page):
    response = client.get(f"{GADGETS}?per_page=5&page={page}")
    assert response.status_code == 200
    assert response.json["items"] == []
    meta = response.json["meta"]
    assert (meta["page"], meta["pages"], meta["next"]) == (page, 5, None)
    assert client.get(meta["prev"]).json["items"] == sorted_devices[20:]


@pytest.mark.parametrize("total", ["capped", "exact", "none"])
def test_a_page_beyond_the_end_of_an_empty_collection_has_no_links(client, total):
    body = client.get(f"{GADGETS}?page=2&total={total}").json
    assert body["items"] == []
    assert (body["meta"]["prev"], body["meta"]["next"]) == (None, None)


def test_the_total_is_omitted_on_request(client, sorted_devices):
    pages = walk(client, f"{GADGETS}?total=none&per_page=5", "next")
    assert items_of(pages) == in_pages(sorted_devices, 5)
    for page in pages:
        meta = page["meta"]
        assert (meta["total"], meta["pages"], meta["last"]) == (None, None, None)
        assert meta["total_exact"] is False


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


def test_a_link_to_items_that_were_deleted_leads_to_an_empty_page(
    client, sorted_devices
):
    address = client.get(f"{GADGETS}?per_page=20").json["meta"]["next"]
    for item in sorted_devices[20:]:
        client.delete(item["url"])
    page = client.get(address).json
    assert page["items"] == []
    assert page["meta"]["next"] is None
    assert client.get(page["meta"]["prev"]).json["items"] == sorted_devices[:20]


# Views


def test_the_urls_view_lists_only_the_urls_of_the_items(client, sorted_devices):
    pages = walk(client, f"{GADGETS}?view=urls&sort=-name&per_page=5", "next")
    assert all(page.keys() == {"urls", "meta"} for page in pages)
    urls = [item["url"] for item in in_order(sorted_devices, "-name")]
    assert [page["urls"] for page in pages] == in_pages(urls, 5)
    assert pages[0]["meta"]["total"] == 23


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
def test_the_documented_schema_accepts_valid_values_and_refuses_invalid_ones(
    client, address, name
):
    verbs = client.get("/openapi.json").json["paths"][address.rstrip("/")]
    schemas = {each["name"]: each["schema"] for each in verbs["get"]["parameters"]}
    schema = schemas[name]
    fits = jsonschema_rs.validator_for(schema, validate_formats=True).is_valid
    for value in GOOD.get(name, ()):
        assert client.get(address, query_string={name: value}).status_code == 200
        assert fits(read_as(schema, value)), value
    for value in set(BAD[name]) - set(OPAQUE.get(name, ())):
        assert not fits(read_as(schema, value)), value


def read_as(schema, text):
    """Return the value that `text` in a query has for a schema."""
    digits = re.fullmatch("-?[0-9]+", text, re.ASCII)
    return int(text) if schema.get("type") == "integer" and digits else text


def test_only_the_first_occurrence_of_a_sort_field_counts(client, sorted_devices):
    def order(sort):
        items = client.get(GADGETS, query_string={"sort": sort}).json["items"]
        return [item["id"] for item in items]

    assert order("name,-type,-name,type") == order("name,-type")


@pytest.mark.parametrize("name, value", [(n, v) for n in BAD for v in BAD[n]])
@pytest.mark.parametrize("address", COLLECTIONS)
def test_an_invalid_value_is_reported_with_its_parameter(client, address, name, value):
    response = client.get(address, query_string={name: value})
    assert response.status_code == 400
    assert response.mimetype == "application/problem+json"
    (error,) = response.json["errors"]
    assert error["pointer"] == f"/{name}"


@pytest.mark.parametrize("name", [*BAD, "name"])
def test_a_parameter_that_is_sent_twice_is_invalid(client, name):
    good = {"page": 1, "per_page": 1, "sort": "id", "view": "urls", "total": "none"}
    value = good.get(name, "x")
    response = client.get(f"{GADGETS}?{name}={value}&{name}={value}")
    assert response.status_code == 400
    assert [error["pointer"] for error in response.json["errors"]] == [f"/{name}"]


@pytest.mark.parametrize("address", COLLECTIONS)
def test_all_errors_of_a_query_are_reported_at_once(client, address):
    response = client.get(address, query_string={name: BAD[name][0] for name in BAD})
    assert response.status_code == 400
    pointers = [error["pointer"] for error in response.json["errors"]]
    assert sorted(pointers) == sorted(f"/{name}" for name in BAD)
    assert all(error["detail"] for error in response.json["errors"])


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


@pytest.mark.parametrize("other", ["-id", "name", "id,name", "name,-id"])
def test_a_cursor_of_another_sort_is_refused(client, sorted_devices, other):
    cursor = encode_cursor(cursor_of(client))
    assert follow(client, "id", cursor).status_code == 200
    response = follow(client, other, cursor)
    assert response.status_code == 400
    assert [error["pointer"] for error in response.json["errors"]] == ["/cursor"]


def test_a_cursor_of_another_collection_is_refused_or_harmless(client, sorted_devices):
    cursor = encode_cursor(cursor_of(client, "name"))
    assert client.get(f"{SIGNALS}?cursor={cursor}").status_code == 400


@pytest.mark.parametrize(
    "place, value",
    [
        (0, "name"),
        (0, None),
        (1, None),  # no page lies after the end
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
def test_a_cursor_that_was_tampered_with_is_refused(
    client, sorted_devices, place, value
):
    cursor = cursor_of(client)
    assert follow(client, "id", encode_cursor(cursor)).status_code == 200
    cursor[place] = value
    assert follow(client, "id", encode_cursor(cursor)).status_code == 400


@pytest.mark.parametrize(
    "sort, value",
    [("name", 7), ("name", None), ("name", "a\0b"), ("name", ["x"])]
    + [("created_at", value) for value in (7, None, "", "now", "2026-01-01")]
    + [("created_at", "0001-01-01T00:00:00+23:59")],
)
def test_a_value_of_another_type_in_a_cursor_is_refused(
    client, sorted_devices, sort, value
):
    cursor = cursor_of(client, sort)
    assert follow(client, sort, encode_cursor(cursor)).status_code == 200
    cursor[1][0] = value
    assert follow(client, sort, encode_cursor(cursor)).status_code == 400


@pytest.mark.parametrize("value", [None, [], {}, 7, "12345", ["id"] * 6, "id", True])
def test_json_that_is_not_a_cursor_is_refused(client, sorted_devices, value):
    assert follow(client, "id", encode_cursor(value)).status_code == 400


def test_a_link_of_another_account_shows_none_of_its_items(
    client, engineer, sorted_devices
):
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
fuzz = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=100,
    deadline=None,
)


@fuzz
@given(JSON)
def test_no_json_in_place_of_a_cursor_breaks_the_service(client, value):
    assert follow(client, "id", encode_cursor(value)).status_code == 400


@fuzz
@given(
    sort=st.sampled_from(["id", "-name", "created_at", "-created_at,name"]),
    data=st.data(),
)
def test_no_value_in_a_cursor_breaks_the_service(client, sorted_devices, sort, data):
    cursor = cursor_of(client, sort)
    names = re.findall(r"\w+", cursor[0])
    cursor[1] = [data.draw(FITTING[name] | JSON) for name in names]
    response = follow(client, sort, encode_cursor(cursor))
    assert response.status_code in (200, 400)


@fuzz
@given(st.text(st.characters(codec="utf-8")) | st.binary().map(urlsafe_b64encode))
def test_no_text_in_place_of_a_cursor_breaks_the_service(client, text):
    assert follow(client, "id", text).status_code == 400
