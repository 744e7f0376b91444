"""The documents are valid, complete and served with Swagger UI."""

import re

import pytest
from openapi_spec_validator import OpenAPIV2SpecValidator, OpenAPIV31SpecValidator

from myapp import __version__
from myapp.core.openapi import components, document, ui
from myapp.core.openapi.swagger2 import downgrade
from myapp.core.schema.operation import document_operation, problem_spec
from support import ROOT
from support.features import SERVED

PAGES = ["/docs/", "/docs", "/api/v1/users/docs", "/api/v1/users/docs/"]


def operations(document):
    return [each for verbs in document["paths"].values() for each in verbs.values()]


# The whole service


def test_the_service_is_one_valid_openapi_document(stranger):
    document = stranger.get("/openapi.json").json
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["version"] == __version__
    OpenAPIV31SpecValidator(document).validate()


@pytest.mark.parametrize("url", ["/docs/json/", "/docs/json", "/openapi.json"])
def test_the_document_has_three_addresses(stranger, url):
    response = stranger.get(url)
    assert response.mimetype == "application/json"
    assert response.json == stranger.get("/openapi.json").json


def test_every_feature_is_in_the_document_and_every_verb_has_a_summary(stranger):
    described = operations(stranger.get("/openapi.json").json)
    tags = {tag for operation in described for tag in operation["tags"]}
    assert tags == {feature.name for feature in SERVED}
    assert all(each["summary"] and each["responses"] for each in described)


def test_every_verb_of_every_resource_is_described(app):
    for rule in app.url_map.iter_rules():
        view = getattr(app.view_functions.get(rule.endpoint), "view_class", None)
        for verb in document.HTTP_METHODS:
            function = getattr(view, verb, None)
            assert function is None or hasattr(function, "operation"), (rule, verb)


def test_an_operation_documents_what_its_decorators_check(stranger):
    document = stranger.get("/openapi.json").json
    patch = document["paths"]["/api/v1/roles/{id}"]["patch"]
    assert patch["operationId"] == "patchRolesById"
    assert patch["security"] == [{"basic": []}, {"bearer": []}]
    assert patch["parameters"][0]["schema"]["type"] == "integer"
    assert "application/merge-patch+json" in patch["requestBody"]["content"]
    assert patch["responses"].keys() >= {"200", "400", "401", "404", "412", "422"}


def test_a_patch_has_no_defaults(stranger):
    schemas = stranger.get("/openapi.json").json["components"]["schemas"]
    assert schemas["SampleChoreWrite"]["properties"]["done"]["default"] is False
    for name in schemas:
        if name.endswith("Patch"):
            properties = schemas[name]["properties"].values()
            assert not any("default" in described for described in properties), name


@pytest.mark.parametrize("url", ["/openapi.json", "/docs/postman.json"])
def test_an_unchanged_document_is_304(stranger, url):
    first = stranger.get(url)
    again = stranger.get(url, headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status_code, again.status_code, again.data) == (200, 304, b"")
    assert first.headers["Cache-Control"] == "no-cache"


def test_openapi_json_is_the_document_of_the_service(project_app):
    document = project_app.test_cli_runner().invoke(args=["openapi"]).stdout_bytes
    stale = "openapi.json is stale; run: flask openapi > openapi.json"
    assert (ROOT / "openapi.json").read_bytes() == document, stale


def test_a_prefix_does_not_change_the_names_of_operations(make_app):
    paths = {}
    for prefix in ("", "/api/v1.0"):
        whole = document.openapi(make_app(API_PREFIX=prefix))
        paths[prefix] = {o["operationId"] for o in operations(whole)}
        assert f"{prefix}/users" in whole["paths"]
    assert paths[""] == paths["/api/v1.0"]


# One feature


@pytest.mark.parametrize("feature", SERVED, ids=lambda each: each.name)
def test_a_feature_has_a_valid_swagger_document_of_its_operations(stranger, feature):
    prefix = "" if feature.at_root else "/api/v1"
    part = stranger.get(f"{prefix}/{feature.name}/swagger.json").json
    assert part["swagger"] == "2.0"
    OpenAPIV2SpecValidator(part).validate()
    whole = stranger.get("/openapi.json").json
    expected = {
        each["operationId"]: each["responses"].keys()
        for each in operations(whole)
        if each["tags"] == [feature.name]
    }
    actual = {
        each["operationId"]: each["responses"].keys() for each in operations(part)
    }
    assert actual == expected


# Building the document


def test_documenting_a_wrapper_does_not_change_the_wrapped_verb():
    inner = document_operation(lambda: None, responses={"400": problem_spec("One.")})
    outer = lambda: None  # noqa: E731
    outer.__dict__.update(inner.__dict__)
    document_operation(
        outer,
        parameters=[{"name": "q"}],
        responses={"400": problem_spec("Two."), "401": problem_spec("Three.")},
    )
    assert outer.operation["responses"]["400"]["description"] == "One. Two."
    assert inner.operation["responses"].keys() == {"400"}
    assert inner.operation["responses"]["400"]["description"] == "One."
    assert inner.operation["parameters"] == []


def test_two_schemas_with_one_title_are_an_error():
    schemas = {}
    components.schema_reference({"title": "Thing", "type": "string"}, schemas)
    components.schema_reference({"title": "Thing", "type": "string"}, schemas)
    with pytest.raises(ValueError, match="two schemas have the title Thing"):
        components.schema_reference({"title": "Thing", "type": "integer"}, schemas)


def test_two_operations_with_one_id_are_an_error(app, monkeypatch):
    same = {"operationId": "getSampleGadgets", "parameters": [], "responses": {}}
    monkeypatch.setattr(
        document,
        "iter_operations",
        lambda *_: [("/a", "get", same), ("/b", "get", same)],
    )
    with pytest.raises(ValueError, match="two operations have the id getSampleGadgets"):
        document.openapi(app)


def test_a_property_named_title_does_not_make_a_schema():
    schemas = {}
    role = {
        "title": "Role",
        "properties": {"title": {"type": "string"}},
        "examples": [{"title": "manager"}],
    }
    assert components.schema_reference(role, schemas) == {
        "$ref": "#/components/schemas/Role"
    }
    assert schemas == {"Role": role}


@pytest.mark.parametrize(
    "new, old",
    [
        ({"type": ["string", "null"]}, {"type": "string", "x-nullable": True}),
        ({"type": ["string", "integer"]}, {"x-type": ["string", "integer"]}),
        ({"const": "on"}, {"enum": ["on"]}),
        ({"type": "integer", "examples": [1]}, {"type": "integer", "example": 1}),
        ({"examples": [1, 2]}, {"example": 1, "x-examples": [1, 2]}),
        ({"exclusiveMinimum": 0}, {"minimum": 0, "exclusiveMinimum": True}),
        ({"$id": "https://example.org", "$schema": "draft"}, {}),
        ({"type": "array"}, {"type": "array", "items": {}}),
        ({"type": "object", "required": []}, {"type": "object"}),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
            {"type": "string", "x-nullable": True},
        ),
        (
            {"description": "One.", "anyOf": [{"description": "Two."}]},
            {"description": "One.", "allOf": [{"description": "Two."}]},
        ),
        ({"properties": {"a": False}}, {"properties": {"a": {"x-not": {}}}}),
        (
            {"anyOf": [{"$ref": "#/components/schemas/A"}, {"type": "null"}]},
            {"allOf": [{"$ref": "#/definitions/A"}], "x-nullable": True},
        ),
        (
            {"oneOf": [{"type": "string", "format": f} for f in ("ipv4", "ipv6")]},
            {
                "type": "string",
                "x-oneOf": [
                    {"type": "string", "format": "ipv4"},
                    {"type": "string", "format": "ipv6"},
                ],
            },
        ),
        (
            {"$ref": "#/components/schemas/A", "description": "Which."},
            {"allOf": [{"$ref": "#/definitions/A"}], "description": "Which."},
        ),
        (
            {"properties": {"a": {"const": 1}}, "additionalProperties": False},
            {"properties": {"a": {"enum": [1]}}, "additionalProperties": False},
        ),
        (
            {"type": "array", "prefixItems": [{"const": 1}]},
            {"type": "array", "items": {}, "x-prefixItems": [{"enum": [1]}]},
        ),
    ],
)
def test_a_schema_is_converted_to_swagger(new, old):
    components = {"schemas": {"Thing": new}, "responses": {}, "securitySchemes": {}}
    document = {"info": {}, "tags": [], "paths": {}, "components": components}
    assert downgrade(document)["definitions"]["Thing"] == old


# The pages


def test_the_root_redirects_to_the_documents(stranger):
    response = stranger.get("/")
    assert (response.status_code, response.location) == (302, "/docs/")


@pytest.mark.parametrize("url", PAGES)
def test_a_page_loads_scripts_and_styles_only_from_our_files(stranger, url):
    response = stranger.get(url)
    assert (response.status_code, response.mimetype) == (200, "text/html")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert not re.search(
        r"<style|style=|<script(?! defer src=)|\son\w+=", response.text
    )
    assert "//" not in response.text


@pytest.mark.parametrize("url", PAGES)
def test_every_link_of_a_page_has_the_right_type(stranger, url):
    types = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    types |= {"json": "application/json"}
    page = stranger.get(url).text
    for address in re.findall(r'(?:href|src|data-spec)="([^"]+)"', page):
        response = stranger.get(address, buffered=True)
        expected = types.get(address.rpartition(".")[2], "text/html")
        assert (response.status_code, response.mimetype) == (200, expected), address


def test_a_file_is_cached_for_a_year_at_its_current_address(stranger):
    own, old = (
        stranger.get(f"/docs/{stamp}/docs.css", buffered=True).cache_control
        for stamp in (ui.STAMP, "0123456789ab")
    )
    assert (own.max_age, own.immutable, own.no_cache) == (31536000, True, None)
    assert old.no_cache and not old.immutable


@pytest.mark.parametrize(
    "path",
    ["../docs.py", "%2e%2e%2fdocs.py", "..%5cdocs.py", "docs.html", "%00", "/etc/x"],
)
def test_no_other_file_is_served(stranger, path):
    response = stranger.get(f"/docs/{ui.STAMP}/{path}")
    assert response.status_code == 404
