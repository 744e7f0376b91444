"""CrudResource serves and documents the same verbs as code that writes them out.

The contract tests cover the behaviour, because sample features of each kind use it.
"""

import pytest

from conftest import as_account
from myapp import create_app
from myapp.core import Conflict, CrudResource, FeatureApi
from myapp.core.openapi.document import openapi
from support.assertions import assert_problem
from support.discovery import CRUD_COLLECTIONS
from support.features import SERVED
from support.features.sample_chores.models import SampleChore
from support.features.sample_gadgets.models import SampleGadget

NO_STORES = {"SQLALCHEMY_DATABASE_URI": "sqlite://", "REDIS_URL": "unix:///no"}
GADGETS = ("/api/v1/sample_gadgets", "/api/v1/sample_gadgets/{id}")
KINDS = ("sample_chores", "sample_labels", "sample_notes", "sample_marks")


class Closed(CrudResource):
    def list(self, page):
        """Refuse to list {many}."""
        raise Conflict("The shop is closed.")

    def read(self, id):
        raise Conflict(f"{id} is sold.")


@pytest.fixture
def mount(make_app):
    """Mount the verbs of chores on a feature of an application; return the application."""

    def mount(resource=CrudResource, **options):
        app = make_app(API_PREFIX="")
        feature = FeatureApi("shop", "Things to sell.")
        resource.register(feature, SampleChore, one="an item", **options)
        feature.mount(app)
        app.extensions["features"] = (*SERVED, feature)
        return app

    return mount


def operations(app, *paths):
    return {path: openapi(app)["paths"][path] for path in paths}


def without_words(operation):
    """Return an operation without its summary, description and links."""
    others = {k: v for k, v in operation.items() if k not in ("summary", "description")}
    responses = {
        status: {name: part for name, part in response.items() if name != "links"}
        for status, response in operation["responses"].items()
    }
    return {**others, "responses": responses}


def test_the_contract_tests_cover_each_kind_of_feature():
    paths = [str(collection).rstrip("/") for collection in CRUD_COLLECTIONS]
    assert {path.rpartition("/")[2] for path in paths} >= set(KINDS)


def test_the_documents_equal_those_of_verbs_that_are_written_out():
    feature = FeatureApi("sample_gadgets", "Gadgets of an account.", owned=True)
    CrudResource.register(feature, SampleGadget, one="a gadget")
    names = {each.name: each for each in SERVED} | {feature.name: feature}
    apps = [
        create_app("testing", features=features, **NO_STORES)
        for features in (SERVED, tuple(names.values()))
    ]
    written_out, ours = (operations(app, *GADGETS) for app in apps)
    for path in GADGETS:
        assert ours[path].keys() == written_out[path].keys()
        for verb, operation in ours[path].items():
            assert without_words(operation) == without_words(written_out[path][verb])


def test_summaries_name_the_records(app):
    paths = operations(app, "/api/v1/sample_chores", "/api/v1/sample_chores/{id}")
    summaries = [verb["summary"] for path in paths.values() for verb in path.values()]
    assert sorted(summaries) == [
        "Add a chore",
        "Change some properties of a chore",
        "Delete a chore",
        "List your sample chores",
        "Read a chore",
        "Replace a chore",
    ]


def test_only_the_named_verbs_and_their_paths_are_mounted(mount):
    app = mount(only=("create", "read", "remove"))
    client = as_account(app, "pythonista")
    assert set(client.options("/shop/").allow) == {"POST", "OPTIONS"}
    assert set(client.options("/shop/1").allow) == {"GET", "HEAD", "DELETE", "OPTIONS"}
    documents = operations(app, "/shop", "/shop/{id}")
    assert list(documents["/shop"]) == ["post"]
    assert set(documents["/shop/{id}"]) == {"get", "delete"}
    assert_problem(client.patch("/shop/1", json={}), 405)
    app = mount(only=("list", "create"))
    assert_problem(as_account(app, "pythonista").get("/shop/1"), 404)
    assert "/shop/{id}" not in openapi(app)["paths"]


def test_an_overridden_method_keeps_its_decorators_and_documents(mount):
    app = mount(Closed)
    client, path = as_account(app, "pythonista"), "/shop/"
    assert assert_problem(client.get(path), 409)["detail"] == "The shop is closed."
    assert_problem(client.get(path, query_string={"page": 0}), 400)
    assert_problem(app.test_client().get(path), 401)
    assert assert_problem(client.get("/shop/7"), 409)["detail"] == "7 is sold."
    documents = operations(app, "/shop", "/shop/{id}")
    assert documents["/shop"]["get"]["summary"] == "Refuse to list your sample chores"
    assert documents["/shop/{id}"]["get"]["summary"] == "Read an item"


def test_the_resources_belong_to_the_module_that_registers_them():
    feature = FeatureApi("shop", "Things to sell.")
    CrudResource.register(feature, SampleChore, one="an item")
    resources = [each.resource for each in feature.default_namespace.resources]
    assert {resource.__module__ for resource in resources} == {__name__}
    names = [resource.__name__ for resource in resources]
    assert names == ["SampleChoreCollection", "SampleChoreItem"]
