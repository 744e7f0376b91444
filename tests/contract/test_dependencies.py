"""The dependency rules: import-linter finds every kind of import that they forbid."""

from copy import deepcopy

import pytest
from grimp import build_graph
from importlinter.api import read_configuration
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.layers import LayersContract

import myapp
from support import ROOT
from support.import_contracts import Features, FeaturesForbidden, NoFeatures

PACKAGE = myapp.__name__
TYPES = {
    "features": Features,
    "features_forbidden": FeaturesForbidden,
    "forbidden": ForbiddenContract,
    "layers": LayersContract,
    "no_features": NoFeatures,
}
CONFIGURATION = read_configuration(str(ROOT / ".importlinter"))
A_FEATURE, ANOTHER = (
    f"{PACKAGE}.roles",
    f"{PACKAGE}.status",
)  # neither imports the other


@pytest.fixture(scope="module")
def graph():
    return build_graph(PACKAGE, "tools", cache_dir=None)


def broken_contracts(graph, *modules):
    """Return the ids of the contracts that imports from each module to the next break."""
    changed = deepcopy(graph)
    for name in modules:
        changed.add_module(name.removesuffix(".endpoints"))
        changed.add_module(name)
    for importer, imported in zip(modules, modules[1:]):
        changed.add_import(importer=importer, imported=imported)
    result = set()
    for options in CONFIGURATION["contracts_options"]:
        kind = TYPES[options["type"]]
        contract = kind(options["name"], CONFIGURATION["session_options"], options)
        if not contract.check(deepcopy(changed), verbose=False).kept:
            result.add(options["id"])
    return result


def test_the_code_keeps_every_rule(graph):
    assert broken_contracts(graph) == set()


@pytest.mark.parametrize("module", ["http.pagination", "data.session", "just_written"])
def test_core_must_not_import_a_feature(graph, module):
    assert "core" in broken_contracts(
        graph, f"{PACKAGE}.core.{module}", f"{A_FEATURE}.models"
    )
    assert "core" in broken_contracts(graph, f"{PACKAGE}.core.{module}", A_FEATURE)


@pytest.mark.parametrize("module", [f"{PACKAGE}.ops.commands", "tools.repository"])
def test_core_must_not_import_commands(graph, module):
    assert "core_alone" in broken_contracts(graph, f"{PACKAGE}.core.http.urls", module)


@pytest.mark.parametrize(
    "lower, upper",
    [
        ("errors", "schema.fields"),
        ("schema.fields", "data.session"),
        ("data.session", "http.urls"),
        ("data.session", "settings"),
        ("observability.metrics", "jobs.task"),
        ("jobs.task", "security.tokens"),
        ("security.tokens", "http.urls"),
        ("http.urls", "openapi.document"),
    ],
)
def test_a_module_of_core_must_not_import_upwards(graph, lower, upper):
    lower, upper = f"{PACKAGE}.core.{lower}", f"{PACKAGE}.core.{upper}"
    assert "layers" in broken_contracts(graph, lower, upper)


def test_a_feature_must_not_import_another_that_is_not_declared(graph):
    models = f"{A_FEATURE}.models", f"{ANOTHER}.models"
    assert broken_contracts(graph, *models) == {"features"}
    assert broken_contracts(graph, *reversed(models)) == {"features"}


def test_a_new_feature_is_found(graph):
    endpoints, models = f"{PACKAGE}.just_made.endpoints", f"{A_FEATURE}.models"
    assert broken_contracts(graph, endpoints) == set()
    assert broken_contracts(graph, endpoints, models) == {"features"}
    assert "core" in broken_contracts(graph, f"{PACKAGE}.core.http.urls", endpoints)


@pytest.mark.parametrize("module", ["core.http.urls", "core.errors", "ops.commands"])
def test_a_feature_must_not_import_past_the_public_api(graph, module):
    imported = f"{PACKAGE}.{module}"
    assert "public" in broken_contracts(graph, f"{A_FEATURE}.endpoints", imported)


@pytest.mark.parametrize("module", ["roles.models", "ops.commands", "core.errors"])
def test_nothing_must_import_tools(graph, module):
    assert "tools" in broken_contracts(graph, f"{PACKAGE}.{module}", "tools.repository")


def test_models_must_not_import_endpoints(graph):
    assert "models" in broken_contracts(
        graph, f"{A_FEATURE}.models", f"{A_FEATURE}.endpoints"
    )
