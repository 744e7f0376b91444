"""API_PREFIX: the features are served below any prefix, and the documents say so."""

import pytest

from conftest import LAMP, as_account
from support.discovery import API, VERBS


@pytest.mark.parametrize("prefix", ["", "/api/v1.0"])
def test_the_features_are_served_below_any_prefix(make_app, prefix):
    client = as_account(make_app(API_PREFIX=prefix), "pythonista")
    response = client.post(f"{prefix}/sample_gadgets/", json=LAMP)
    try:
        assert response.headers["Location"].startswith(
            f"http://localhost{prefix}/sample_gadgets/"
        )
        assert client.get(response.headers["Location"]).json == response.json
        listed = client.get(f"{prefix}/sample_gadgets").json
        assert listed["meta"]["first"] == f"http://localhost{prefix}/sample_gadgets/"
        assert response.json in listed["items"]
    finally:
        client.delete(response.headers["Location"])


@pytest.mark.parametrize("prefix", ["", "/api/v1.0"])
def test_the_documents_know_the_prefix(make_app, prefix):
    client = make_app(API_PREFIX=prefix).test_client()
    expected = {verb.path.replace(API, prefix).rstrip("/") for verb in VERBS}
    assert client.get("/openapi.json").json["paths"].keys() == expected
    assert client.get(f"{prefix}/users/swagger.json").status_code == 200
    assert client.get(f"{prefix}/users/docs").status_code == 200
    assert client.get("/status/").status_code == 200
    assert client.get(f"{API}/users/").status_code == 404
