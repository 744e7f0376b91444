"""Invalid input: the response is never a 5xx and shows no internals."""

import gzip
import http.client
import json
import logging
from base64 import b64encode
from contextlib import suppress
from io import BytesIO
from string import printable
from urllib.parse import urlsplit

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import LAMP, basic
from myapp.core.schema.examples import example_of
from myapp.core.schema.fields import NO_NUL_PATTERN, json_types
from support.assertions import assert_problem
from support.discovery import (
    API,
    BODIES,
    OPEN_PATHS,
    PAGINATED_PATHS,
    PAIRS,
    VERBS,
    fits_schema,
    parametrize,
    with_placeholder_ids,
)
from support.populated import stored

CANARY = "canary-7c1f"  # sent values must not be repeated in an error
JSON = "application/json"
REQUIRING = [verb for verb in BODIES if verb.schema.get("required")]
ITEMS = [verb for verb in VERBS if "{" in verb.path]
GUARDED = [pair for pair in PAIRS if not OPEN_PATHS.fullmatch(pair[1])]


@pytest.fixture
def app(populated):
    return populated.app


@pytest.fixture
def client(populated):
    """Return a client with every permission: these tests are not about permissions."""
    return populated.client


@pytest.fixture
def things(populated):
    return populated.things


@pytest.fixture
def assert_refused(app, client, things):
    """Send bytes to a verb, which must refuse them with a status; returns the problem.
    At the end the stores hold what they held before."""

    def send(verb, status, data, content_type=JSON, **headers):
        response = client.open(
            things.address(verb.path),
            method=verb.method,
            data=data,
            content_type=content_type,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        problem = assert_problem(response, status)
        assert CANARY not in response.text
        return problem

    before = stored(app)
    yield send
    assert stored(app) == before


def text_of(verb):
    """Return the name of a text property of the body, if possible one of any characters."""
    properties = verb.schema["properties"].items()
    free = [
        name for name, schema in properties if schema.get("pattern") == NO_NUL_PATTERN
    ]
    texts = [name for name, schema in properties if "string" in json_types(schema)]
    return next(iter([*free, *texts, *verb.schema["properties"]]))


def with_value(verb, value):
    """Return a valid body as JSON in which these bytes replace the first text."""
    body = example_of(verb.schema) | {text_of(verb): "VALUE"}
    return orjson.dumps(body).replace(b'"VALUE"', value)


def pointers(problem):
    return {fault["pointer"] for fault in problem["errors"]}


# Bodies that are no JSON, or not a body

NOT_JSON = {
    "nothing": b"",
    "blanks": b" \n",
    "cut off": b'{"name": "canary-7c1f',
    "a word": b"canary-7c1f",
    "a trailing comma": b'{"name": "canary-7c1f",}',
    "two values": b'{"name": "canary-7c1f"} {}',
    "single quotes": b"{'name': 'canary-7c1f'}",
    "a comment": b'{"name": "canary-7c1f"} // canary-7c1f',
    "a form": b"name=canary-7c1f",
    "XML": b"<name>canary-7c1f</name>",
    "bytes that are not UTF-8": b'{"name": "canary-7c1f \xff"}',
    "UTF-16": '{"name": "canary-7c1f"}'.encode("utf-16"),
    "UTF-32": '{"name": "canary-7c1f"}'.encode("utf-32"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "NUL": b"\0",
}
TOO_DEEP = {
    f"{levels} levels of {kind}": opening * levels + b"1" + closing * levels
    for levels in (1000, 100_000)
    for kind, opening, closing in (("arrays", b"[", b"]"), ("objects", b'{"a":', b"}"))
}
NOT_JSON_VALUES = {
    "a raw NUL": b'"canary-7c1f\0"',
    "a raw line feed": b'"canary-7c1f\n"',
    "half a surrogate pair": b'"canary-7c1f \\ud800"',
    "the other half": b'"canary-7c1f \\udc00"',
    "a surrogate in raw bytes": b'"canary-7c1f \xed\xa0\x80"',
    "an overlong encoding": b'"canary-7c1f \xc0\xaf"',
    "an unknown escape": b'"canary-7c1f \\x41"',
    "NaN": b"NaN",
    "Infinity": b"-Infinity",
    "1e400": b"1e400",
    "a number of 5,000 digits": b"9" * 5000,
    "a leading zero": b"0777",
    "a hexadecimal number": b"0xff",
}


@parametrize("kind", NOT_JSON)
def test_a_body_that_is_not_json_is_400(assert_refused, kind):
    for verb in BODIES:
        assert pointers(assert_refused(verb, 400, NOT_JSON[kind])) == {""}


@parametrize("kind", NOT_JSON_VALUES)
def test_a_value_that_is_not_json_is_400(assert_refused, kind):
    for verb in BODIES:
        data = with_value(verb, NOT_JSON_VALUES[kind])
        assert pointers(assert_refused(verb, 400, data)) == {""}


@parametrize("kind", TOO_DEEP)
def test_a_body_that_is_nested_too_deeply_is_400(assert_refused, kind):
    for verb in BODIES:
        assert_refused(verb, 400, TOO_DEEP[kind])
        assert_refused(verb, 400, with_value(verb, TOO_DEEP[kind]))


# JSON that does not fit the schema

NO_OBJECTS = b'null true 7 1.5 "canary-7c1f" [] ["canary-7c1f"]'.split()
MISFITS = {
    "NUL": b'"canary-7c1f\\u0000"',
    "a number": b"7",
    "a number beyond 64 bits": b"18446744073709551616",
    "a number below 64 bits": b"-9223372036854775809",
    "a number of 300 digits": b"9" * 300,
    "true": b"true",
    "an array": b'["canary-7c1f"]',
    "an object": b'{"canary-7c1f": "canary-7c1f"}',
    "100 levels of arrays": b"[" * 100 + b"]" * 100,
}


@pytest.mark.parametrize("data", NO_OBJECTS)
def test_a_body_that_is_not_an_object_is_422(assert_refused, data):
    for verb in BODIES:
        assert pointers(assert_refused(verb, 422, data)) == {""}


@parametrize("kind", MISFITS)
def test_a_value_that_does_not_fit_is_422(assert_refused, kind):
    for verb in BODIES:
        if "string" in json_types(verb.schema["properties"][text_of(verb)]):
            problem = assert_refused(verb, 422, with_value(verb, MISFITS[kind]))
            assert pointers(problem) == {f"/{text_of(verb)}"}


@parametrize("verb", BODIES)
def test_every_error_is_reported_at_once(assert_refused, verb):
    names = verb.schema["properties"]
    body = {name: {CANARY: CANARY} for name in names} | {"nonsense": 1, "a/b~c": 2}
    problem = assert_refused(verb, 422, orjson.dumps(body))
    assert pointers(problem) == {f"/{n}" for n in names} | {"/nonsense", "/a~1b~0c"}


@parametrize("verb", REQUIRING)
def test_every_missing_property_is_reported_at_once(assert_refused, verb):
    problem = assert_refused(verb, 422, b"{}")
    assert pointers(problem) == {f"/{name}" for name in verb.schema["required"]}


@parametrize("put", [verb for verb in REQUIRING if verb.method == "PUT"])
def test_a_required_property_cannot_be_removed(assert_refused, put):
    for verb in BODIES:
        if (verb.path, verb.method) == (put.path, "PATCH"):
            body = dict.fromkeys(verb.schema["properties"])
            problem = assert_refused(verb, 422, orjson.dumps(body))
            assert pointers(problem) == {f"/{name}" for name in put.schema["required"]}


READ_ONLY = {
    "id": 7,
    "url": f"http://localhost{API}/roles/7",
    "owner": "pythonista",
    "created_at": "2026-11-21T07:40:00Z",
    "updated_at": "2026-11-21T07:40:00Z",
}


@parametrize("verb", BODIES)
def test_a_read_only_property_cannot_be_written(assert_refused, verb):
    body = example_of(verb.schema)
    problem = assert_refused(verb, 422, orjson.dumps(body | READ_ONLY))
    assert pointers(problem) == {f"/{name}" for name in READ_ONLY}


@parametrize("verb", BODIES)
def test_the_last_of_duplicate_names_counts(client, things, verb):
    name = text_of(verb)
    example = {name: example_of(verb.schema["properties"][name])}
    body = example | things.request_arguments(verb)["json"]
    first, last = orjson.dumps({name: CANARY}), orjson.dumps(body)
    send = {"method": verb.method, "content_type": JSON}
    data = last[:-1] + b',"%b":[]}' % name.encode()
    assert_problem(client.open(things.address(verb.path), data=data, **send), 422)
    data = first[:-1] + b"," + last[1:]
    response = client.open(things.address(verb.path), data=data, **send)
    assert fits_schema(response)
    if response.status_code < 300 and name in response.json:
        assert response.json[name] == body[name]


# Media types and sizes

OTHER_TYPES = [
    *(None, "", "multipart/form-data; boundary=x", "application/json, text/plain"),
    *"nonsense text/plain text/json application/xml application/jsonp".split(),
    *"application/x-www-form-urlencoded application/problem+json".split(),
]


@parametrize("media_type", OTHER_TYPES)
def test_another_media_type_is_415(assert_refused, media_type):
    for verb in BODIES:
        assert_refused(verb, 415, orjson.dumps(example_of(verb.schema)), media_type)


@parametrize("verb", BODIES)
def test_a_merge_patch_is_for_patch_alone(client, things, verb):
    response = client.open(
        things.address(verb.path),
        method=verb.method,
        data=orjson.dumps(things.request_arguments(verb)["json"]),
        content_type="application/merge-patch+json",
    )
    assert response.status_code == (200 if verb.method == "PATCH" else 415)


@parametrize("verb", BODIES)
@pytest.mark.parametrize("written", ["Application/JSON", "application/json; charset=x"])
def test_a_json_media_type_may_have_capitals_and_parameters(
    client, things, verb, written
):
    data = orjson.dumps(things.request_arguments(verb)["json"])
    response = client.open(
        things.address(verb.path), method=verb.method, data=data, content_type=written
    )
    assert fits_schema(response)


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "nonsense"])
def test_a_compressed_body_is_415(assert_refused, coding):
    for verb in BODIES:
        data = gzip.compress(orjson.dumps(example_of(verb.schema)))
        assert_refused(verb, 415, data, Content_Encoding=coding)


@parametrize("verb", BODIES)
@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "chunked"])
def test_a_body_may_have_exactly_the_maximum_size(app, client, things, verb, chunked):
    data = orjson.dumps(things.request_arguments(verb)["json"])
    url = things.address(verb.path)
    app.config["MAX_CONTENT_LENGTH"] = len(data) + 10
    most = 9 if chunked else 10  # the last chunk may not be known as such
    for blanks in (1000, 11, most):
        response = client.open(
            url,
            method=verb.method,
            input_stream=BytesIO(data + b" " * blanks),
            content_type=JSON,
            headers={"Transfer-Encoding": "chunked"} if chunked else {},
            environ_overrides={"wsgi.input_terminated": True} if chunked else {},
        )
        assert fits_schema(response) if blanks == most else response.status_code == 413


def test_a_body_of_more_than_a_mebibyte_is_413(assert_refused):
    for verb in BODIES:
        assert_refused(verb, 413, with_value(verb, b'"%b"' % (b"x" * 2**20)))


# Addresses, queries, headers


def digits_from(zero):
    """Return a function that writes an id in the digits of another script."""
    return lambda id: "".join(chr(ord(zero) + int(digit)) for digit in str(id))


BAD_IDS = [  # the braces stand for the id of an existing record
    *"0 -{} +{} {}.0 {}e0 0x{} %20{} {}%20 %0a{} {}%00 {};drop {}'-- {0},{0}".split(),
    *"abc %00 %20 %FF .. %2e%2e%2f".split(),
    *map(str, (2**63 - 1, 2**63, 2**64, "9" * 5000)),
]


@pytest.mark.parametrize(
    "written", [*(id.format for id in BAD_IDS), *map(digits_from, "\u0660\uff10")]
)
def test_an_invalid_id_is_404(client, things, written):
    for verb in ITEMS:
        url = things.address(verb.path, written)
        assert_problem(
            client.open(url, method=verb.method, **things.request_arguments(verb)), 404
        )


BAD_QUERIES = [
    *"""
    page= page=0 page=-1 page=x page=1.0 page=+1 page=%201 page=1%00 page=%D9%A1
    page=2147483648 page=18446744073709551616 page=1&page=2 per_page=0 per_page=-5
    per_page=all per_page=2147483648 sort= sort=nonsense sort=- sort=--id sort=+id
    sort=id, sort=owner_id sort=version sort=id;drop sort=id%00 sort=id&sort=id
    view= view=nonsense total= total=all q=%00 q=a&q=b id= id=x id=1.0 id=null
    id=9223372036854775808 id=1&id=2 created_at= created_at=yesterday
    created_at=2026-11-21 created_at=2026-11-21T07:40:00
    created_at=2026-02-30T07:40:00Z created_at=0001-01-01T00:00:00%2B14:00
    created_at=1234567890
    """.split(),
    *(name + "=" + "9" * 5000 for name in ("page", "id")),
]


@parametrize("query", BAD_QUERIES)
def test_an_invalid_query_is_400(client, things, query):
    for path in PAGINATED_PATHS:
        response = client.get(f"{things.address(path)}?{query}")
        problem = assert_problem(response, 400)
        assert pointers(problem) == {"/" + query.partition("=")[0]}


@parametrize("path", PAGINATED_PATHS)
def test_every_error_in_a_query_is_reported_at_once(client, things, path):
    query = f"page=x&per_page=0&sort={CANARY}&view=x&total=x&id=x&cursor={CANARY}"
    response = client.get(f"{things.address(path)}?{query}")
    problem = assert_problem(response, 400)
    names = ("page", "per_page", "sort", "view", "total", "id", "cursor")
    assert pointers(problem) == {f"/{name}" for name in names}
    assert CANARY not in response.text


@parametrize(
    "verb", [v for v in VERBS if v.operation.get("security") != [{"refresh": []}]]
)
def test_an_unknown_parameter_is_400_with_the_nearest_name(app, client, things, verb):
    before = stored(app)
    names = {p["name"] for p in verb.operation["parameters"] if p["in"] == "query"}
    near = f"{max(names, key=len)}s" if names else "sort"
    url, sent = things.address(verb.path), things.request_arguments(verb)
    response = client.open(
        f"{url}?a~b/c=1&{near}=2&{near}=3&%00=%FF", method=verb.method, **sent
    )
    problem = assert_problem(response, 400)
    assert pointers(problem) == {"/a~0b~1c", f"/{near}", "/\0"}
    details = {fault["pointer"]: fault["detail"] for fault in problem["errors"]}
    hint = f" Did you mean {near[:-1]}?" if names else ""
    assert details[f"/{near}"] == f"Unknown parameter.{hint}"
    assert stored(app) == before


def cursor(*parts):
    return b64encode(orjson.dumps(parts), b"-_").decode().rstrip("=")


BAD_CURSORS = {
    "nothing": "",
    "no base64": "!!!",
    "not ASCII": "%C3%A9",
    "NUL": "%00",
    "no JSON": "AAAA",
    "no array": b64encode(b"7").decode(),
    "an object": b64encode(b'{"sort": "id"}').decode(),
    "1,000 levels": b64encode(b"[" * 1000 + b"]" * 1000).decode(),
    "10,000 levels": b64encode(b"[" * 10_000).decode(),
    "too little": cursor("id", [1]),
    "too much": cursor("id", [1], False, 2, 0, 0),
    "another sort": cursor("-id", [1], False, 2, 0),
    "a sort that is not there": cursor("owner_id", [1], False, 2, 0),
    "no values": cursor("id", [], False, 2, 0),
    "more values": cursor("id", [1, 2], False, 2, 0),
    "values that are no list": cursor("id", 1, False, 2, 0),
    "a text for an id": cursor("id", ["x"], False, 2, 0),
    "null for an id": cursor("id", [None], False, 2, 0),
    "an object for an id": cursor("id", [{}], False, 2, 0),
    "a huge id": cursor("id", [2**63], False, 2, 0),
    "a broken id": cursor("id", [1.5], False, 2, 0),
    "a number for a direction": cursor("id", [1], 1, 2, 0),
    "the end, forward": cursor("id", None, False, 2, 0),
    "page 0": cursor("id", [1], False, 0, 0),
    "page true": cursor("id", [1], False, True, 0),
    "a huge page": cursor("id", [1], False, 2**31, 0),
    "a huge size": cursor("id", [1], False, 2, 1_000_000),
    "a negative size": cursor("id", [1], False, 2, -1),
}


@parametrize("kind", BAD_CURSORS)
def test_a_foreign_cursor_is_400(client, things, kind):
    for path in PAGINATED_PATHS:
        response = client.get(f"{things.address(path)}?cursor={BAD_CURSORS[kind]}")
        assert pointers(assert_problem(response, 400)) == {"/cursor"}


@pytest.mark.parametrize("value", [1, None, "\0", [], {}, "2026"])
@pytest.mark.parametrize("sort", ["name", "created_at"])
def test_a_cursor_with_values_of_other_types_is_400(client, sort, value):
    if (sort, value) == ("name", "2026"):
        value = True
    place = cursor(f"{sort},id", [value, 1], False, 2, 0)
    response = client.get(f"{API}/sample_gadgets/?sort={sort}&cursor={place}")
    assert pointers(assert_problem(response, 400)) == {"/cursor"}


def b64(data):
    return b64encode(data).decode().rstrip("=")


BAD_CREDENTIALS = {
    "nothing": "",
    "a blank": " ",
    "a word": "nonsense",
    "Basic alone": "Basic",
    "Basic and a blank": "Basic ",
    "no base64": "Basic !!!",
    "no colon": "Basic " + b64(b"pythonista"),
    "only a colon": "Basic " + b64(b":"),
    "no password": "Basic " + b64(b"pythonista:"),
    "a wrong password": basic("pythonista", "I<3testing "),
    "an unknown name": basic("unknown", "I<3testing"),
    "NUL in the name": basic("pythonista\0", "I<3testing"),
    "NUL in the password": basic("pythonista", "I<3testing\0"),
    "not UTF-8": "Basic " + b64(b"\xff\xfe:\xff"),
    "a long name": basic("x" * 10_000, "x"),
    "a long password": basic("pythonista", "x" * 10_000),
    "Bearer alone": "Bearer",
    "Bearer and a blank": "Bearer ",
    "no token": "Bearer nonsense",
    "dots": "Bearer ..",
    "three words": "Bearer a.b.c",
    "four dots": "Bearer a.b.c.d.e",
    "not ASCII": "Bearer \xe9.\xe9.\xe9",
    "no signature": f"""Bearer {b64(b'{"alg":"none"}')}.{b64(b'{"sub":"1"}')}.""",
    "a header that is no object": "Bearer " + b64(b"7") + ".e30.e30",
    "a header without an algorithm": "Bearer e30.e30.e30",
    "a header of 4,000 levels": "Bearer " + b64(b"[" * 4000) + ".e30.e30",
    "a long token": "Bearer " + "x" * 50_000,
    "another scheme": 'Digest username="pythonista", response="x"',
    "an unknown scheme": "Negotiate abc",
    "two at once": basic("pythonista", "x") + ", " + basic("pythonista", "y"),
}


@parametrize("kind", BAD_CREDENTIALS)
def test_invalid_credentials_are_401(stranger, kind):
    headers = {"Authorization": BAD_CREDENTIALS[kind]}
    assert_problem(stranger.get(f"{API}/roles/", headers=headers), 401)


@pytest.mark.parametrize("credentials", ["nonsense", "Bearer nonsense", "Basic !!!"])
def test_invalid_credentials_open_no_address(stranger, credentials):
    headers = {"Authorization": credentials}
    for method, path in GUARDED:
        response = stranger.open(
            with_placeholder_ids(path), method=method, headers=headers
        )
        assert_problem(response, 401)


BAD_ETAGS = {
    "nothing": "",
    "a word": "nonsense",
    "a comma": ",",
    "a quote": '"',
    "two quotes": '""',
    "another ETag": '"nonsense"',
    "some others": '"a", W/"b", c, "d',
    "a star in quotes": '"*"',
    "bytes": "\xff\xfe",
    "10,000 of them": '"x",' * 10_000,
}


@parametrize("verb", [verb for verb in ITEMS if "412" in verb.operation["responses"]])
def test_an_invalid_if_match_is_412(client, things, verb):
    url, item = (things.address(path) for path in (verb.path, item_of(verb)))
    state = client.get(item).headers["ETag"]
    for condition in (*BAD_ETAGS.values(), f"W/{state}", state.upper(), state[:-1]):
        headers = {"If-Match": condition}
        response = client.open(
            url, method=verb.method, headers=headers, **things.request_arguments(verb)
        )
        assert_problem(response, 412)
        assert client.get(item).headers["ETag"] == state


def item_of(verb):
    """Return the path of the record that a verb changes, which an action is below."""
    return verb.path.rpartition("/")[0] if verb.method == "POST" else verb.path


@parametrize("kind", [*BAD_ETAGS, "a star"])
def test_an_if_match_without_a_record_is_412(client, gadget, kind):
    url = f"{API}/sample_signals/{gadget['id']}"
    headers = {"If-Match": BAD_ETAGS.get(kind, "*")}
    assert_problem(client.put(url, json={}, headers=headers), 412)
    assert client.get(url).status_code == 404


@pytest.mark.parametrize(
    "host",
    ["", " ", "a b", "a/b", "a@b", "a:b", "a:99999999", "[::1", "]", "é", "a,b", "<a>"],
)
def test_an_invalid_host_is_400(client, host):
    for path in (f"{API}/roles/", "/docs/", "/nowhere"):
        assert_problem(client.get(path, headers={"Host": host}), 400)


@pytest.mark.parametrize("host", ["example.org", "example.org:8080", "[::1]:5000"])
def test_links_lead_to_the_requested_host(client, host):
    listed = client.get(f"{API}/roles/", headers={"Host": host})
    assert listed.json["meta"]["first"] == f"http://{host}{API}/roles/"


@pytest.mark.parametrize("sent", ["a", "A-1_b.2", "0" * 64])
def test_a_valid_request_id_is_returned(client, sent):
    for path in (f"{API}/roles/", "/nowhere"):
        response = client.get(path, headers={"X-Request-ID": sent})
        assert response.headers["X-Request-ID"] == sent
    assert assert_problem(response, 404)["request_id"] == sent


@pytest.mark.parametrize(
    "sent", ["", " ", "a b", "0" * 65, "<script>", "a\tb", "é", "a;b", "%0a", "${jndi}"]
)
def test_any_other_request_id_is_replaced(client, sent):
    response = client.get("/nowhere", headers={"X-Request-ID": sent})
    request_id = assert_problem(response, 404)["request_id"]
    assert len(request_id) >= 16
    assert request_id.isalnum()
    again = client.get("/nowhere", headers={"X-Request-ID": sent})
    assert again.json["request_id"] != request_id


def test_without_a_request_id_each_request_gets_its_own(client):
    ids = {client.get("/status/").headers["X-Request-ID"] for _ in range(5)}
    assert len(ids) == 5


# Arbitrary input

bounded = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
names = sorted({name for verb in BODIES for name in verb.schema["properties"]})
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
objects = st.dictionaries(st.sampled_from(names) | st.text(), values)
parameters = ("page", "per_page", "sort", "q", "view", "total", "cursor", "id", "name")
queries = st.lists(st.tuples(st.sampled_from(parameters) | st.text(), st.text()))
headers = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]))


def sensible(response):
    """Assert that this is a successful response or a client error."""
    if response.status_code >= 400:
        assert response.status_code < 500
        assert_problem(response, response.status_code)


@pytest.fixture
def sent_to(client, things):
    return lambda verb, data: sensible(
        client.open(
            things.address(verb.path), method=verb.method, data=data, content_type=JSON
        )
    )


@bounded
@given(
    verb=st.sampled_from(BODIES), data=st.binary() | (objects | values).map(json.dumps)
)
def test_any_body_gets_a_sensible_response(sent_to, verb, data):
    sent_to(verb, data)


@bounded
@given(verb=st.sampled_from(BODIES), data=st.data())
def test_any_value_in_a_valid_body_gets_a_sensible_response(sent_to, verb, data):
    body = example_of(verb.schema)
    name = data.draw(st.sampled_from(sorted(verb.schema["properties"])))
    sent_to(verb, json.dumps(body | {name: data.draw(values)}))


@bounded
@given(path=st.sampled_from(PAGINATED_PATHS), query=queries | st.text(printable))
def test_any_query_gets_a_sensible_response(client, things, path, query):
    sensible(client.get(things.address(path), query_string=query))


@bounded
@given(
    verb=st.sampled_from(VERBS),
    name=st.sampled_from(
        "Accept Accept-Encoding Authorization Content-Encoding Content-Type Cookie "
        "Expect Forwarded If-Match If-Modified-Since If-None-Match If-Range "
        "If-Unmodified-Since Origin Range Referer X-Fields X-Forwarded-For "
        "X-Forwarded-Host X-HTTP-Method-Override X-Request-ID".split()
    ),
    value=headers,
)
def test_any_header_gets_a_sensible_response(client, things, verb, name, value):
    url, sent = things.address(verb.path), things.request_arguments(verb)
    sensible(client.open(url, method=verb.method, headers={name: value}, **sent))


@bounded
@given(host=headers)
def test_any_host_gets_a_sensible_response(client, host):
    sensible(client.get(f"{API}/roles/", headers={"Host": host}))


# Over a real socket


@pytest.fixture
def connect(live_server):
    def connect():
        return http.client.HTTPConnection(urlsplit(live_server).netloc, timeout=10)

    return connect


SIGNED = {"Authorization": basic("pythonista", "I<3testing"), "Content-Type": JSON}
TEN_MEGABYTES = b'{"name": "%b"}' % (b"x" * 10_000_000)


def test_ten_megabytes_are_413_on_a_real_server(connect, caplog):
    caplog.set_level(logging.INFO)
    for body in (TEN_MEGABYTES, iter([TEN_MEGABYTES])):  # an iterator goes in chunks
        connection = connect()
        with suppress(ConnectionResetError, BrokenPipeError):  # it need not be read
            connection.request("POST", f"{API}/sample_gadgets/", body, SIGNED)
            response = connection.getresponse()
            assert response.status == 413
            assert json.loads(response.read())["status"] == 413
        connection.close()
    again = connect()
    again.request("GET", f"{API}/sample_gadgets/", headers=SIGNED)
    assert json.loads(again.getresponse().read())["items"] == []
    again.close()
    assert caplog.text.count(" 413 ") == 2
    assert "Traceback" not in caplog.text


def test_an_interrupted_request_affects_no_other(connect, caplog):
    cut = connect()
    cut.putrequest("POST", f"{API}/sample_gadgets/")
    for name, value in {**SIGNED, "Content-Length": "1000"}.items():
        cut.putheader(name, value)
    cut.endheaders(orjson.dumps(LAMP)[:20])
    cut.close()
    whole = connect()
    whole.request("POST", f"{API}/sample_gadgets/", orjson.dumps(LAMP), SIGNED)
    assert whole.getresponse().status == 201
    whole.request("GET", f"{API}/sample_gadgets/", headers=SIGNED)
    assert json.loads(whole.getresponse().read())["meta"]["total"] == 1
    whole.close()
    assert "Traceback" not in caplog.text
