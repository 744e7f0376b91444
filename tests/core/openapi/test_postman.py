"""The Postman collection has each operation, and sets each variable that it uses."""

import json
import re

import pytest

from myapp.core.openapi.postman import build_collection
from myapp.core.schema.fields import X_REFERENCES


def items(stranger):
    folders = stranger.get("/docs/postman.json").json["item"]
    return [item for folder in folders for item in folder["item"]]


def test_each_operation_of_the_document_is_a_request(stranger):
    document = stranger.get("/openapi.json").json
    expected = {
        (verb.upper(), re.sub(r"{(\w+)}", r":\1", path))
        for path, verbs in document["paths"].items()
        for verb in verbs
    }
    requests = [item["request"] for item in items(stranger)]
    actual = {
        (request["method"], "/" + "/".join(request["url"]["path"]))
        for request in requests
    }
    assert actual == expected
    assert len(requests) == len(expected)


def test_each_variable_is_in_the_environment_or_set_by_a_script(stranger):
    collection = stranger.get("/docs/postman.json").text
    environment = stranger.get("/docs/postman-environment.json").json
    in_environment = {value["key"] for value in environment["values"]}
    scripts = "".join(
        line
        for item in [json.loads(collection), *items(stranger)]
        for event in item["event"]
        for line in event["script"]["exec"]
    )
    saved = set(re.findall(r'variable = "(\w+)"', scripts))
    used = set(re.findall(r"{{(\w+)}}", collection))
    assert used == in_environment | saved | {"etag", "access_token", "refresh_token"}


def test_the_example_body_of_a_request_is_valid(client, stranger):
    for item in items(stranger):
        request = item["request"]
        if (
            request["method"] == "POST"
            and request["url"]["path"][-1] == "sample_gadgets"
        ):
            sent = {header["key"]: header["value"] for header in request["header"]}
            response = client.post(
                "/api/v1/sample_gadgets",
                data=request["body"]["raw"],
                content_type=sent["Content-Type"],
            )
            assert response.status_code == 201
            assert (
                json.loads(item["response"][0]["body"]).keys() == response.json.keys()
            )


def sent_by(stranger, must=True, **property):
    """Return the description of a folder, and the body of the request that creates.

    The body has the property `word` with a schema; it is required if `must` is true.
    """
    document = stranger.get("/openapi.json").json
    operation = document["paths"]["/api/v1/users"]["post"]
    (described,) = operation["requestBody"]["content"].values()
    described["schema"] = {
        "type": "object",
        "properties": {"word": {"examples": ["A word"], **property}},
        "required": ["word"] * must,
    }
    operation["responses"]["409"]["description"] = "The word is taken."
    (folder,) = (f for f in build_collection(document)["item"] if f["name"] == "users")
    return folder["description"], folder["item"][0]["request"]["body"]["raw"]


def test_a_required_reference_is_the_id_from_another_folder(stranger):
    reference = {"type": "integer", "examples": [7], X_REFERENCES: "roles"}
    description, sent = sent_by(stranger, **reference)
    assert description.endswith("Run “Add a role” first.")
    assert json.loads(sent.replace("{{roles_id}}", "12")) == {"word": 12}
    description, sent = sent_by(stranger, must=False, **reference)
    assert "Run" not in description and json.loads(sent) == {}


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
def test_a_unique_value_differs_in_each_run(stranger, limits, sent):
    _, body = sent_by(stranger, type="string", **limits)
    assert json.loads(body) == {"word": sent}


def test_a_deletion_unsets_only_the_id_of_its_own_resource(stranger):
    unset = {
        item["request"]["url"]["path"][-2]: re.findall(r'unset\("(\w+)"', line)
        for item in items(stranger)
        if item["request"]["method"] == "DELETE"
        for event in item["event"]
        for line in event["script"]["exec"] or [""]
    }
    assert unset["sample_gadgets"] == ["sample_gadgets_id"]
    assert unset["sample_signals"] == []  # the gadget still exists


@pytest.mark.parametrize(
    "operation, kind", [("login", "noauth"), ("refresh", "bearer"), ("sessions", None)]
)
def test_a_request_has_the_authentication_of_its_operation(stranger, operation, kind):
    (request,) = [
        item["request"]
        for item in items(stranger)
        if item["request"]["url"]["path"][-1] == operation
    ]
    assert request.get("auth", {}).get("type") == kind


def test_the_environment_has_the_address_of_the_server(stranger):
    values = stranger.get(
        "/docs/postman-environment.json",
        base_url="https://api.example.com/mounted",
    ).json["values"]
    assert values[0]["key"] == "base_url"
    assert values[0]["value"] == "https://api.example.com/mounted"


def test_an_unchanged_collection_is_304(stranger):
    first = stranger.get("/docs/postman.json")
    again = stranger.get(
        "/docs/postman.json", headers={"If-None-Match": first.headers["ETag"]}
    )
    assert (first.status_code, again.status_code) == (200, 304)


def test_usernames_and_titles_differ_in_each_run(stranger):
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
