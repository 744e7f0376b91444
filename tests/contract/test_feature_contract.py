"""The conventions of the project: rules for every feature and every address."""

import re
from pathlib import Path

import pytest

import myapp
from myapp import FEATURES
from myapp.core.data.models.owned import PermissionScoped
from support.assertions import assert_problem
from support.discovery import (
    BODIES,
    CHANGING,
    KNOWN_VERBS,
    MODELS,
    OPEN_PATHS,
    PAIRS,
    ROUTES,
    UNOWNED_PATHS,
    VERBS,
    parametrize,
    with_placeholder_ids,
)
from support.features import SERVED


def is_open(verb):
    """Return True if the records at this address have no owner."""
    return verb.path.startswith(UNOWNED_PATHS)


CHANGES = [verb for verb in VERBS if verb.method in CHANGING]
CREATIONS = [verb for verb in VERBS if verb.creates]
READABLE = [
    path
    for path, (methods, _view) in ROUTES.items()
    if "GET" in methods and "{stamp}" not in path
]
COLLECTIONS = [path for path in READABLE if path.endswith("/") and path != "/"]


@pytest.fixture
def app(populated):
    return populated.app


@pytest.fixture
def client(populated):
    """Return a client with every permission: these tests are not about permissions."""
    return populated.client


@pytest.fixture
def things(populated):
    return populated.things


# The features


@parametrize("name", [feature.name for feature in FEATURES])
def test_every_feature_has_the_same_files(name):
    folder = Path(myapp.__file__).parent / name
    files = {file.name for file in folder.glob("*.py")}
    assert files >= {"__init__.py", "endpoints.py", "models.py", f"test_{name}.py"}
    others = {"checks.py", "commands.py", "settings.py", "tasks.py"}
    unknown = files - {"__init__.py", "endpoints.py", "models.py", *others}
    assert not [file for file in unknown if not file.startswith("test_")]


def test_every_folder_with_endpoints_is_a_feature():
    folders = Path(myapp.__file__).parent.glob("*/endpoints.py")
    names = {file.parent.name for file in folders}
    assert names == {
        feature.name for feature in FEATURES
    }, "FEATURES in myapp/__init__.py: each folder with endpoints, and no other."


OWNED = {feature.name for feature in SERVED if feature.owned}
GOVERNED = [
    model
    for model in MODELS.values()
    if issubclass(model, PermissionScoped) and not model.permission_prefix
]


@parametrize("model", GOVERNED)
def test_every_model_with_owners_has_its_permissions(model):
    assert model.collection in OWNED, (
        f"No role may read or change all {model.collection}: pass owned=True to their "
        "FeatureApi; or set `governed_by` of the model to the feature whose permissions "
        "apply."
    )


def test_every_permission_of_an_owner_belongs_to_a_model():
    assert OWNED == {model.collection for model in GOVERNED}


# Every verb


@parametrize("verb", VERBS)
def test_every_verb_has_a_summary(verb):
    summary = (verb.function.__doc__ or "").partition("\n")[0]
    assert re.fullmatch(r"[A-Z].{5,}\.", summary)


@parametrize("verb", VERBS)
def test_every_verb_is_guarded_or_open_by_contract(verb):
    assert (verb.required_permissions is None) is bool(
        OPEN_PATHS.fullmatch(verb.path)
    ), (
        f"{verb} needs @requires() as its first decorator; or, if strangers are let in, a "
        "place in the contract and in OPEN."
    )


@parametrize("verb", VERBS)
def test_every_verb_documents_its_responses(verb):
    responses = verb.operation["responses"]
    assert any(status.startswith("2") for status in responses)
    assert all(response["description"] for response in responses.values())
    if verb.required_permissions is not None:
        assert "401" in responses
        assert verb.operation["security"]


@parametrize("verb", [verb for verb in BODIES if str(verb).startswith("POST")])
def test_every_post_to_a_collection_creates(verb):
    creates = {"201", "202"} & verb.operation["responses"].keys()
    assert creates or not verb.path.endswith("/")


# Clients without credentials


@pytest.mark.parametrize(
    "method, path",
    [pair for pair in PAIRS if not OPEN_PATHS.fullmatch(pair[1])],
)
def test_a_client_without_credentials_gets_the_same_401_everywhere(
    stranger, method, path
):
    response = stranger.open(with_placeholder_ids(path), method=method)
    problem = assert_problem(response, 401)
    assert problem["detail"] == "Valid credentials are required."
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "method, path",
    [pair for pair in PAIRS if OPEN_PATHS.fullmatch(pair[1])],
)
def test_every_public_address_is_open(stranger, method, path):
    assert stranger.open(with_placeholder_ids(path), method=method).status_code != 401


@parametrize("verb", [verb for verb in VERBS if "{" in verb.path and not is_open(verb)])
def test_a_record_of_another_account_is_404(things, engineer, verb):
    url = things.address(verb.path)
    response = engineer.open(url, method=verb.method, **things.request_arguments(verb))
    assert_problem(response, 403 if verb.required_permissions else 404)


# Changing and creating


@parametrize("verb", CHANGES)
def test_a_wrong_etag_changes_nothing(things, client, verb):
    url = things.address(verb.path)
    before = client.get(url)
    headers = {"If-Match": '"of-another-state"'}
    sent = things.request_arguments(verb)
    response = client.open(url, method=verb.method, headers=headers, **sent)
    assert_problem(response, 412)
    after = client.get(url)
    assert after.data == before.data
    assert after.headers["ETag"] == before.headers["ETag"]


@parametrize("verb", CHANGES)
def test_a_change_with_the_right_etag_succeeds(things, client, verb):
    url = things.address(verb.path)
    headers = {"If-Match": client.get(url).headers["ETag"]}
    sent = things.request_arguments(verb)
    response = client.open(url, method=verb.method, headers=headers, **sent)
    assert response.status_code == (204 if verb.method == "DELETE" else 200)


@parametrize("verb", CREATIONS)
def test_a_creation_responds_with_the_location(client, things, verb):
    url = things.address(verb.path)
    if verb.method == "PUT":
        client.delete(url)
    response = client.open(url, method=verb.method, **things.request_arguments(verb))
    assert (
        str(response.status_code) in {"201", "202"} & verb.operation["responses"].keys()
    )
    assert response.headers["Location"] == response.json["url"]
    assert response.json["url"].startswith("http://localhost/")
    read = client.get(response.json["url"])
    assert read.json == response.json
    assert read.headers["ETag"] == response.headers["ETag"]


# HEAD, OPTIONS, and unsupported methods


@parametrize("path", READABLE)
def test_head_responds_as_get(things, client, path):
    # Read to its end: a partly read stream breaks a later test.
    got = client.get(things.address(path), buffered=True)
    head = client.head(things.address(path))
    assert got.status_code in (200, 302)
    assert head.status_code == got.status_code
    assert head.data == b""
    assert lasting(head.headers) == lasting(got.headers)


def lasting(headers):
    """Return the headers; the value of one that differs between responses is True."""
    fleeting = {"Date", "X-Request-ID"}
    if "no-store" in headers.get("Cache-Control", ""):  # it contains a time or a token
        fleeting |= {"Content-Length", "ETag"}
    return {name: name in fleeting or value for name, value in headers}


@parametrize("path", ROUTES)
def test_options_lists_the_methods_of_every_address(stranger, path):
    response = stranger.options(with_placeholder_ids(path))
    assert response.status_code == 200
    assert allowed_methods(response) == ROUTES[path][0]


@parametrize("path", ROUTES)
def test_an_unsupported_method_is_405_with_allow(client, path):
    there = ROUTES[path][0]
    for method in {*KNOWN_VERBS, "TRACE", "BREW"} - there:
        response = client.open(with_placeholder_ids(path), method=method)
        assert_problem(response, 405)
        assert allowed_methods(response) == there


def allowed_methods(response):
    return set(response.headers["Allow"].split(", "))


# Addresses


@parametrize("path", COLLECTIONS)
def test_a_collection_responds_with_and_without_trailing_slash(things, client, path):
    url = things.address(path)
    with_slash, without = client.get(url), client.get(url.rstrip("/"))
    assert with_slash.status_code == without.status_code == 200
    assert with_slash.mimetype == without.mimetype
