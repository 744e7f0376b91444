"""The internals of Flask-RESTX that feature_api.py relies on; review them at upgrades."""

import inspect
from importlib.metadata import version

import flask_restx
import pytest
from flask import abort
from flask_restx.fields import String

from conftest import as_account
from myapp.core.http.feature_api import FeatureApi
from myapp.core.http.resource import Resource
from support import ROOT
from support.assertions import assert_problem
from support.features import SERVED

PINNED = "1.3.2"
HOOKS = {
    "error_router": ["self", "original_handler", "e"],
    "_register_doc": ["self", "app_or_blueprint"],
    "_register_apidoc": ["self", "app"],
}


def test_the_version_is_the_one_that_was_reviewed():
    assert version("flask-restx") == PINNED
    requirements = ROOT / "requirements.in"
    assert f"flask-restx=={PINNED} " in requirements.read_text()


@pytest.mark.parametrize("name", HOOKS)
def test_each_overridden_method_has_the_same_parameters_and_is_called(
    make_app, monkeypatch, name
):
    called, ours = [], getattr(FeatureApi, name)
    theirs = inspect.signature(getattr(flask_restx.Api, name))
    assert list(theirs.parameters) == HOOKS[name]
    assert len(inspect.signature(ours).parameters) == len(theirs.parameters)

    def spy(self, *args):
        called.append(name)
        return ours(self, *args)

    monkeypatch.setattr(FeatureApi, name, spy)
    app = make_app(API_PREFIX="")
    feature = FeatureApi("spied", "Looked at.")
    feature.route("/")(Resource)
    feature.mount(app)
    app.test_client().get("/nowhere")
    assert called


def test_flask_restx_adds_no_routes(app):
    views = {rule.endpoint: rule.rule for rule in app.url_map.iter_rules()}
    assert "restx_doc" not in app.blueprints
    assert not [name for name in views if name.endswith((".doc", ".specs", ".static"))]
    assert not [rule for rule in views.values() if "swaggerui" in rule]
    modules = {view.__module__ for view in app.view_functions.values()}
    assert not [module for module in modules if module.startswith("flask_restx")]


@pytest.mark.parametrize("name", [each.name for each in SERVED if not each.below])
def test_the_root_of_a_feature_is_the_url_of_its_collection(app, admin, name):
    (feature,) = [each for each in SERVED if each.name == name]
    with app.test_request_context():
        root = feature.base_url
    assert root.endswith(f"/{feature.name}/")
    collection = {rule.rule for rule in app.url_map.iter_rules() if not rule.build_only}
    path = root.removeprefix("http://localhost")
    assert admin.get(path).status_code == (200 if path in collection else 404)


def test_a_404_does_not_suggest_other_routes(stranger):
    text = stranger.get("/api/v1/userz/").get_data(as_text=True)
    assert "users" not in text
    assert "did you mean" not in text


def test_clients_cannot_choose_fields(make_app):
    app = make_app(API_PREFIX="")
    feature = FeatureApi("masked", "Nothing to hide.")
    shape = feature.model("Shape", {"a": String, "b": String})

    @feature.route("/")
    class Masked(Resource):
        @feature.marshal_with(shape)
        def get(self):
            return {"a": "1", "b": "2"}

    feature.mount(app)
    for mask in ("{a}", "{{{"):
        response = app.test_client().get("/masked/", headers={"X-Fields": mask})
        assert response.json == {"a": "1", "b": "2"}


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "", "*/*", "x"])
def test_responses_are_json_regardless_of_accept(client, gadget, accept):
    headers = {"Accept": accept}
    response = client.get(gadget["url"], headers=headers)
    assert (response.status_code, response.mimetype) == (200, "application/json")
    assert_problem(client.get("/api/v1/sample_gadgets/0", headers=headers), 404)


def test_the_name_of_a_feature_may_be_a_prefix_of_another(make_app):
    app = make_app(API_PREFIX="")
    for name in ("_note", "_notes"):
        feature = FeatureApi(name, "Notes.")

        @feature.route("/<action>")
        class Notes(Resource):
            def get(self, action):
                abort(409)

        feature.mount(app)
    client = as_account(app, "pythonista")
    for name in ("_note", "_notes"):
        assert_problem(client.get(f"/{name}/1"), 409)
        assert_problem(client.post(f"/{name}/1"), 405)
