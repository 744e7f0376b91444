"""The Postman collection has each operation, and sets each variable that it uses."""

import json
import re

import pytest

from myapp.core.openapi.postman import build_collection
from myapp.core.schema.fields import X_REFERENCES


def items(stranger):
    """Return the items of the collection by method and path of their requests."""
    by_name = {}
    for folder in stranger.get("/docs/postman.json").json["item"]:
        for item in folder["item"]:
            method, url = item["request"]["method"], item["request"]["url"]
            name = f"{method} /{'/'.join(url['path'])}"
            assert name not in by_name
            by_name[name] = item
    return by_name


def script_of(item):
    (event,) = item["event"]
    return "\n".join(event["script"]["exec"])


def test_each_operation_of_the_document_is_a_request(stranger):
    document = stranger.get("/openapi.json").json
    assert items(stranger).keys() == {
        f"{verb.upper()} " + re.sub(r"{(\w+)}", r":\1", path)
        for path, verbs in document["paths"].items()
        for verb in verbs
    }


def test_each_variable_is_in_the_environment_or_set_by_a_script(stranger):
    collection = stranger.get("/docs/postman.json")
    environment = stranger.get("/docs/postman-environment.json").json
    in_environment = {value["key"] for value in environment["values"]}
    scripts = "".join(map(script_of, [collection.json, *items(stranger).values()]))
    saved = set(re.findall(r'variable = "(\w+)"', scripts))
    used = set(re.findall(r"{{(\w+)}}", collection.text))
    assert used == in_environment | saved | {"etag", "access_token", "refresh_token"}


def test_the_example_body_of_a_request_is_valid(client, stranger):
    item = items(stranger)["POST /api/v1/sample_gadgets"]
    sent = {header["key"]: header["value"] for header in item["request"]["header"]}
    response = client.post(
        "/api/v1/sample_gadgets",
        data=item["request"]["body"]["raw"],
        content_type=sent["Content-Type"],
    )
    assert response.status_code == 201
    assert json.loads(item["response"][0]["body"]).keys() == response.json.keys()


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
    requests = items(stranger)
    gadget = requests["DELETE /api/v1/sample_gadgets/:id"]
    assert re.findall(r'unset\("(\w+)"', script_of(gadget)) == ["sample_gadgets_id"]
    signal = requests["DELETE /api/v1/sample_signals/:sample_gadget_id"]
    assert "unset" not in script_of(signal)  # the gadget still exists


@pytest.mark.parametrize(
    "operation, kind",
    [
        ("POST /api/v1/auth/login", "noauth"),
        ("POST /api/v1/auth/refresh", "bearer"),
        ("POST /api/v1/auth/logout", "bearer"),
        ("GET /api/v1/auth/sessions", None),
    ],
)
def test_a_request_has_the_authentication_of_its_operation(stranger, operation, kind):
    assert items(stranger)[operation]["request"].get("auth", {}).get("type") == kind


def test_the_folder_that_deletes_the_account_comes_last(stranger):
    assert list(items(stranger))[-1] == "DELETE /api/v1/account"


def test_the_environment_has_the_address_of_the_server(stranger):
    values = stranger.get(
        "/docs/postman-environment.json",
        base_url="https://api.example.com/mounted",
    ).json["values"]
    assert values[0]["key"] == "base_url"
    assert values[0]["value"] == "https://api.example.com/mounted"


@pytest.mark.parametrize(
    "operation, name, value",
    [
        ("POST /api/v1/auth/register", "username", "-{{$guid}}"),
        ("POST /api/v1/users", "username", "-{{$guid}}"),
        ("POST /api/v1/roles", "title", "-{{$guid}}"),
        ("POST /api/v1/auth/login", "username", "{{username}}"),
        ("PUT /api/v1/account", "username", "{{username}}"),
        ("POST /api/v1/auth/login", "password", "{{password}}"),
    ],
)
def test_unique_values_differ_in_each_run_but_not_the_credentials(
    stranger, operation, name, value
):
    body = json.loads(items(stranger)[operation]["request"]["body"]["raw"])
    assert body[name].endswith(value)
