"""Actions of a CrudResource: a POST below a record that changes its state."""

import pytest

from support.assertions import assert_problem

LABELS = "/api/v1/sample_labels/"
KEY = {"Idempotency-Key": "6f1e"}


@pytest.fixture
def label(client):
    return client.post(LABELS, json={"name": "fragile", "colour": "red"}).json


def test_an_action_changes_the_record_and_responds_with_it(client, label):
    retired = client.post(f"{label['url']}/retire", json={"why": "worn"})
    assert retired.status_code == 200
    assert retired.json["retired_at"]
    read = client.get(label["url"])
    assert read.json == retired.json
    assert read.headers["ETag"] == retired.headers["ETag"]
    back = client.post(f"{label['url']}/bring-back")
    assert back.json["retired_at"] is None


def test_a_state_may_forbid_an_action(client, label):
    for status in (200, 409):
        response = client.post(f"{label['url']}/retire", json={"why": "lost"})
        assert response.status_code == status
    problem = assert_problem(response, 409)
    assert problem["type"] == "/docs/problems#sample-label-retired"
    assert problem["detail"] == "The label is retired."


def test_an_action_with_a_key_happens_once(client, label):
    url, body = f"{label['url']}/retire", {"why": "worn"}
    first, second = (client.post(url, json=body, headers=KEY) for _ in range(2))
    assert first.status_code == second.status_code == 200
    assert second.data == first.data
    assert second.headers["Idempotent-Replayed"] == "true"


def test_an_action_respects_an_etag_and_needs_none(app, client, label):
    app.config["REQUIRE_IF_MATCH"] = True
    url, etag = f"{label['url']}/retire", client.get(label["url"]).headers["ETag"]
    other = client.post(url, json={"why": "worn"}, headers={"If-Match": '"x"'})
    assert_problem(other, 412)
    same = client.post(url, json={"why": "worn"}, headers={"If-Match": etag})
    assert same.status_code == 200
    assert client.post(f"{label['url']}/bring-back").status_code == 200


def test_an_action_has_a_schema_of_its_own(client, label):
    response = client.post(f"{label['url']}/retire", json={"why": "tired"})
    assert assert_problem(response, 422)["errors"][0]["pointer"] == "/why"
    assert client.get(label["url"]).json["retired_at"] is None


def test_an_action_is_documented(stranger):
    paths = stranger.get("/openapi.json").json["paths"]
    retire = paths[f"{LABELS}{{id}}/retire"]["post"]
    assert retire["summary"] == "Retire a label"
    assert "The label is retired." in retire["responses"]["409"]["description"]
    assert {"Idempotency-Key", "If-Match"} <= {p["name"] for p in retire["parameters"]}
    assert "requestBody" not in paths[f"{LABELS}{{id}}/bring-back"]["post"]
