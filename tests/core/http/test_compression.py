"""Long responses are compressed, and ETags stay valid."""

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
    """Create a page of gadgets that is long enough to be compressed; return its path."""
    for number in range(10):
        client.post(GADGETS, json={**LAMP, "name": f"Lamp {number}"})
    return GADGETS


def fetch(client, path, accepted, **headers):
    return client.get(path, headers={"Accept-Encoding": accepted, **headers})


@pytest.mark.parametrize("coding", DECODED)
@pytest.mark.parametrize("path", [GADGETS, "/openapi.json"])
def test_a_long_response_is_compressed(client, many, coding, path):
    plain, short = client.get(path), fetch(client, path, coding)
    assert short.headers["Content-Encoding"] == coding
    assert DECODED[coding](short.data) == plain.data
    assert len(short.data) < len(plain.data) / 2
    assert short.content_length == len(short.data)
    for response in (plain, short):
        assert "Accept-Encoding" in response.vary


@pytest.mark.parametrize("coding", DECODED)
@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_an_export_is_compressed_while_it_is_streamed(client, many, coding, form):
    path = f"{GADGETS}export?format={form}"
    short = fetch(client, path, coding)
    assert short.headers["Content-Encoding"] == coding
    assert DECODED[coding](short.data) == client.get(path).data
    assert {"Accept-Encoding", "Authorization"} <= set(short.vary)


CHOSEN = {"gzip, deflate, br, zstd": "zstd", "*": "zstd"}
CHOSEN |= {"GZIP": "gzip", "zstd;q=0.1, gzip": "gzip", "": None, "br": None}
CHOSEN |= {"identity": None, "gzip;q=0, zstd;q=0": None, "gzip;q=nonsense": None}
CHOSEN |= {";;,=,\x7f": None, "x" * 5000: None}


@pytest.mark.parametrize("accepted, chosen", CHOSEN.items())
def test_the_client_chooses_the_coding(client, many, accepted, chosen):
    response = fetch(client, many, accepted)
    assert response.status_code == 200
    assert response.headers.get("Content-Encoding") == chosen


@pytest.mark.parametrize("path", [GADGETS, "/openapi.json", "/docs/x/docs.css"])
def test_each_coding_has_an_etag_that_works_with_if_none_match(client, many, path):
    tags = set()
    for accepted in ("identity", "gzip", "zstd"):
        tag = fetch(client, path, accepted).headers["ETag"]
        assert not tag.startswith("W/")
        again = fetch(client, path, accepted, **{"If-None-Match": tag})
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == tag
        tags.add(tag)
    assert len(tags) == 3


def test_an_item_is_never_compressed_so_its_etag_works_with_if_match(client):
    long = {name: value.ljust(64, "🔥") for name, value in LAMP.items()}
    created = client.post(GADGETS, json=long, headers={"Accept-Encoding": "gzip, zstd"})
    got = fetch(client, created.json["url"], "gzip, zstd")
    assert got.content_length > 1024
    for response in (created, got):
        assert "Content-Encoding" not in response.headers
    assert got.headers["ETag"] == created.headers["ETag"]
    seen = {"If-Match": got.headers["ETag"]}
    changed = client.put(created.json["url"], json=LAMP, headers=seen)
    assert changed.status_code == 200


def test_a_short_response_is_not_compressed(client, gadget):
    response = fetch(client, GADGETS, "gzip, zstd")
    assert "Content-Encoding" not in response.headers
    assert response.json["meta"]["total"] == 1
