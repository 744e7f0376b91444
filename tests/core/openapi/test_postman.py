"""The Postman collection has each call, and each variable that a call takes is made."""

import json
import re

import pytest

from myapp.core.openapi.postman import collection
from myapp.core.schema.fields import REFERS


def items(stranger):
    folders = stranger.get("/docs/postman.json").json["item"]
    return [item for folder in folders for item in folder["item"]]


def test_each_operation_of_the_document_is_a_call(stranger):
    document = stranger.get("/openapi.json").json
    expected = {
        (verb.upper(), re.sub(r"{(\w+)}", r":\1", path))
        for path, verbs in document["paths"].items()
        for verb in verbs
    }
    calls = [item["request"] for item in items(stranger)]
    found = {(call["method"], "/" + "/".join(call["url"]["path"])) for call in calls}
    assert found == expected
    assert len(calls) == len(expected)


def test_each_variable_is_of_the_environment_or_kept_from_an_answer(stranger):
    collection = stranger.get("/docs/postman.json").text
    environment = stranger.get("/docs/postman-environment.json").json
    given = {value["key"] for value in environment["values"]}
    scripts = "".join(
        line
        for item in [json.loads(collection), *items(stranger)]
        for event in item["event"]
        for line in event["script"]["exec"]
    )
    kept = set(re.findall(r'variable = "(\w+)"', scripts))
    used = set(re.findall(r"{{(\w+)}}", collection))
    assert used == given | kept | {"etag", "access_token", "refresh_token"}


def test_a_call_comes_with_a_body_that_the_service_takes(client, stranger):
    for item in items(stranger):
        request = item["request"]
        if (
            request["method"] == "POST"
            and request["url"]["path"][-1] == "sample_gadgets"
        ):
            sent = {header["key"]: header["value"] for header in request["header"]}
            made = client.post(
                "/api/v1/sample_gadgets",
                data=request["body"]["raw"],
                content_type=sent["Content-Type"],
            )
            assert made.status_code == 201
            assert json.loads(item["response"][0]["body"]).keys() == made.json.keys()


def sent_by(stranger, must=True, **property):
    """Of a folder whose calls send such a `word`, and leave it out unless they `must` send
    it: what the folder says, and what the call that makes sends."""
    document = stranger.get("/openapi.json").json
    operation = document["paths"]["/api/v1/users"]["post"]
    (described,) = operation["requestBody"]["content"].values()
    described["schema"] = {
        "type": "object",
        "properties": {"word": {"examples": ["A word"], **property}},
        "required": ["word"] * must,
    }
    operation["responses"]["409"]["description"] = "The word is taken."
    (folder,) = (f for f in collection(document)["item"] if f["name"] == "users")
    return folder["description"], folder["item"][0]["request"]["body"]["raw"]


def test_what_must_be_named_is_what_another_folder_made(stranger):
    reference = {"type": "integer", "examples": [7], REFERS: "roles"}
    told, sent = sent_by(stranger, **reference)
    assert told.endswith("Run “Add a role” first.")
    assert json.loads(sent.replace("{{roles_id}}", "12")) == {"word": 12}
    told, sent = sent_by(stranger, must=False, **reference)
    assert "Run" not in told and json.loads(sent) == {}


@pytest.mark.parametrize(
    "limits, sent",
    [
        ({"maxLength": 64}, "A word-{{$guid}}"),
        ({"maxLength": 16}, "{{$randomAlphaNumeric}}" * 12),
        ({"maxLength": 8}, "{{$randomAlphaNumeric}}" * 8),
        ({"minLength": 13, "maxLength": 13}, "{{$randomAlphaNumeric}}" * 13),
        ({"format": "date"}, "A word"),
    ],
)
def test_what_must_be_unique_is_another_one_each_time(stranger, limits, sent):
    _, found = sent_by(stranger, type="string", **limits)
    assert json.loads(found) == {"word": sent}


def test_an_id_is_forgotten_with_its_own_thing_alone(stranger):
    forgotten = {
        item["request"]["url"]["path"][-2]: re.findall(r'unset\("(\w+)"', line)
        for item in items(stranger)
        if item["request"]["method"] == "DELETE"
        for event in item["event"]
        for line in event["script"]["exec"] or [""]
    }
    assert forgotten["sample_gadgets"] == ["sample_gadgets_id"]
    assert forgotten["sample_signals"] == []  # the gadget is still there


@pytest.mark.parametrize(
    "operation, kind", [("login", "noauth"), ("refresh", "bearer"), ("sessions", None)]
)
def test_a_call_signs_in_as_its_operation_wants(stranger, operation, kind):
    (call,) = [
        item["request"]
        for item in items(stranger)
        if item["request"]["url"]["path"][-1] == operation
    ]
    assert call.get("auth", {}).get("type") == kind


def test_the_environment_is_for_the_server_that_was_asked(stranger):
    values = stranger.get(
        "/docs/postman-environment.json",
        base_url="https://api.example.com/mounted",
    ).json["values"]
    assert values[0]["key"] == "base_url"
    assert values[0]["value"] == "https://api.example.com/mounted"


def test_a_collection_that_is_known_already_is_not_sent_again(stranger):
    first = stranger.get("/docs/postman.json")
    again = stranger.get(
        "/docs/postman.json", headers={"If-None-Match": first.headers["ETag"]}
    )
    assert (first.status_code, again.status_code) == (200, 304)


def test_what_must_be_unique_is_new_in_each_run(stranger):
    sent = {
        "/".join(item["request"]["url"]["path"]): item["request"]["body"]["raw"]
        for item in items(stranger)
        if item["request"]["method"] == "POST" and "body" in item["request"]
    }
    for path, name in {
        "auth/register": "username",
        "users": "username",
        "roles": "title",
    }.items():
        (raw,) = [
            raw for address, raw in sent.items() if address.endswith(f"v1/{path}")
        ]
        assert json.loads(raw)[name].endswith("-{{$guid}}")
