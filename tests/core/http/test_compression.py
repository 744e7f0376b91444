"""Compressed where it pays, and never so that an ETag loses its meaning."""

import gzip
import sys

import pytest

from conftest import LAMP

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GADGETS = "/api/v1/sample_gadgets/"
DECODED = {"gzip": gzip.decompress, "zstd": zstd.decompress}


@pytest.fixture
def many(client):
    """A page of gadgets, long enough to be worth the work."""
    for number in range(10):
        client.post(GADGETS, json={**LAMP, "name": f"Lamp {number}"})
    return GADGETS


def fetched(client, path, accepted, **headers):
    return client.get(path, headers={"Accept-Encoding": accepted, **headers})


@pytest.mark.parametrize("coding", DECODED)
@pytest.mark.parametrize("path", [GADGETS, "/openapi.json"])
def test_what_is_long_is_compressed(client, many, coding, path):
    plain, short = client.get(path), fetched(client, path, coding)
    assert short.headers["Content-Encoding"] == coding
    assert DECODED[coding](short.data) == plain.data
    assert len(short.data) < len(plain.data) / 2
    assert short.content_length == len(short.data)
    for answer in (plain, short):
        assert "Accept-Encoding" in answer.vary


@pytest.mark.parametrize("coding", DECODED)
@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_an_export_is_compressed_as_it_goes(client, many, coding, form):
    path = f"{GADGETS}export?format={form}"
    short = fetched(client, path, coding)
    assert short.headers["Content-Encoding"] == coding
    assert DECODED[coding](short.data) == client.get(path).data
    assert {"Accept-Encoding", "Authorization"} <= set(short.vary)


@pytest.mark.parametrize(
    "accepted, chosen",
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("GZIP", "gzip"),
        ("zstd;q=0.1, gzip", "gzip"),
        ("*", "zstd"),
        ("", None),
        ("br", None),
        ("identity", None),
        ("gzip;q=0, zstd;q=0", None),
        ("gzip;q=nonsense", None),
        (";;,=,\x7f", None),
        ("x" * 5000, None),
    ],
)
def test_the_client_chooses(client, many, accepted, chosen):
    answer = fetched(client, many, accepted)
    assert answer.status_code == 200
    assert answer.headers.get("Content-Encoding") == chosen


@pytest.mark.parametrize("path", [GADGETS, "/openapi.json", "/docs/x/docs.css"])
def test_each_coding_has_an_etag_of_its_own_that_saves_the_body(client, many, path):
    tags = set()
    for accepted in ("identity", "gzip", "zstd"):
        tag = fetched(client, path, accepted).headers["ETag"]
        assert not tag.startswith("W/")
        again = fetched(client, path, accepted, **{"If-None-Match": tag})
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == tag
        tags.add(tag)
    assert len(tags) == 3


def test_an_item_is_never_compressed_so_its_etag_goes_on_to_work(client):
    long = {name: value.ljust(64, "🔥") for name, value in LAMP.items()}
    made = client.post(GADGETS, json=long, headers={"Accept-Encoding": "gzip, zstd"})
    got = fetched(client, made.json["url"], "gzip, zstd")
    assert got.content_length > 1024
    for answer in (made, got):
        assert "Content-Encoding" not in answer.headers
    assert got.headers["ETag"] == made.headers["ETag"]
    changed = client.put(
        made.json["url"], json=LAMP, headers={"If-Match": got.headers["ETag"]}
    )
    assert changed.status_code == 200


def test_what_is_short_stays_as_it_is(client, gadget):
    answer = fetched(client, GADGETS, "gzip, zstd")
    assert "Content-Encoding" not in answer.headers
    assert answer.json["meta"]["total"] == 1
