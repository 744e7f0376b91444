"""The Swagger 2.0 document loses nothing: the OpenAPI document can be restored from it."""

import pytest

from myapp.core.openapi import document
from myapp.core.openapi.components import map_subschemas, resolve
from myapp.core.openapi.swagger2 import downgrade
from myapp.core.schema import fields
from support.features import SERVED

ASIDE = "name", "in", "required", "description"  # keywords beside a schema


def words(part):
    """Return a part without the prefix of keywords that Swagger 2.0 does not have."""
    return {
        key if key == fields.X_REFERENCES else key.removeprefix("x-"): value
        for key, value in part.items()
    }


def schema_of(old):
    if "$ref" in old:
        return {"$ref": old["$ref"].replace("/definitions", "/components/schemas")}
    new = map_subschemas(words(old), schema_of)
    if new.pop("nullable", False):
        new["type"] = [new["type"], "null"]
    if "example" in new:
        new["examples"] = [new.pop("example")]
    return new


def value_of(old):
    new = words(old)
    aside = {key: new.pop(key) for key in ASIDE if key in new}
    return {**aside, "schema": schema_of(new)}


def content_of(old):
    assert old["schema"] == next(iter(old["x-content"].values()))
    examples = old.get("examples", {}) | old.get("x-examples", {})
    others = {"example": examples, "encoding": old.get("x-encoding", {})}
    return {
        media: {"schema": schema_of(schema)}
        | {key: values[media] for key, values in others.items() if media in values}
        for media, schema in old["x-content"].items()
    }


def response_of(old):
    if "$ref" in old:
        return {"$ref": old["$ref"].replace("#/", "#/components/")}
    new = {"description": old["description"]}
    if "headers" in old:
        new["headers"] = {n: value_of(each) for n, each in old["headers"].items()}
    if "schema" in old:
        new["content"] = content_of(old)
    return new | ({"links": old["x-links"]} if "x-links" in old else {})


def operation_of(old):
    new = {key: old[key] for key in old if key not in ("consumes", "produces")}
    values = [each for each in old["parameters"] if each["in"] != "body"]
    new["parameters"] = [value_of(each) for each in values]
    new["responses"] = {s: response_of(each) for s, each in old["responses"].items()}
    for body in old["parameters"]:
        if body["in"] == "body":
            content = content_of(body)
            new["requestBody"] = {"required": body["required"], "content": content}
            assert {*old["consumes"], "multipart/form-data"} >= content.keys()
    return new


# Normalize the OpenAPI document, which can express the same in two ways


def schema_at_length(schema):
    schema = map_subschemas(schema, schema_at_length)
    return {
        key: schema[key] for key in schema if (key, schema[key]) != ("required", [])
    }


def value_at_length(value):
    schema = dict(value["schema"])
    description = value.get("description") or schema.pop("description")
    aside = {"required": False, **value, "description": description}
    return {**aside, "schema": schema_at_length(schema)}


def response_at_length(response, document):
    if "headers" not in response:
        return response
    headers = {
        name: value_at_length(resolve(header, document))
        for name, header in response["headers"].items()
    }
    return {**response, "headers": headers}


def operation_at_length(operation, document):
    responses = {
        status: response_at_length(response, document)
        for status, response in operation["responses"].items()
    }
    parameters = [value_at_length(each) for each in operation["parameters"]]
    return {**operation, "parameters": parameters, "responses": responses}


@pytest.mark.parametrize("feature", SERVED, ids=lambda each: each.name)
def test_the_document_of_a_feature_loses_nothing_in_swagger(app, feature):
    new = document.build_document(app, [feature], feature.name)
    old, parts = downgrade(new), new["components"]
    assert (old["info"], old["tags"]) == (new["info"], new["tags"])
    assert old["securityDefinitions"].keys() == parts["securitySchemes"].keys()
    for path, verbs in new["paths"].items():
        for verb, operation in verbs.items():
            restored = operation_of(old["paths"][path][verb])
            assert restored == operation_at_length(operation, new)
            for response in operation["responses"].values():
                content = resolve(response, new).get("content", {})
                assert content.keys() <= set(old["paths"][path][verb]["produces"])
    for name, schema in parts["schemas"].items():
        assert schema_of(old["definitions"][name]) == schema_at_length(schema)
    for name, response in parts["responses"].items():
        restored = response_of(old["responses"][name])
        assert restored == response_at_length(response, new)
