"""Who may know whom: import-linter notices every kind of import that should not be."""

from copy import deepcopy
from pathlib import Path

import pytest
from contracts import Shared, Slices
from grimp import build_graph
from importlinter.api import read_configuration
from importlinter.contracts.forbidden import ForbiddenContract

from myapp import __name__ as ROOT

TYPES = {"shared": Shared, "slices": Slices, "forbidden": ForbiddenContract}
LINTED = read_configuration(str(Path(__file__).parent.parent / ".importlinter"))
A_SLICE, ANOTHER = "roles", "status"  # neither knows the other


@pytest.fixture(scope="module")
def graph():
    return build_graph(ROOT, cache_dir=None)


def broken(graph, *modules):
    """The names of the contracts that imports from each module to the next one break."""
    planted = deepcopy(graph)
    names = [f"{ROOT}.{name}" for name in modules]
    for name in names:
        planted.add_module(name.removesuffix(".endpoints"))
        planted.add_module(name)
    for importer, imported in zip(names, names[1:]):
        planted.add_import(importer=importer, imported=imported)
    found = set()
    for options in LINTED["contracts_options"]:
        kind = TYPES[options["type"]]
        contract = kind(options["name"], LINTED["session_options"], options)
        if not contract.check(deepcopy(planted), verbose=False).kept:
            found.add(options["id"])
    return found


def test_nobody_knows_whom_they_should_not(graph):
    assert broken(graph) == set()


@pytest.mark.parametrize("shared", ["paging", "just_written"])
def test_what_is_shared_must_not_know_a_slice(graph, shared):
    assert "shared" in broken(graph, shared, f"{A_SLICE}.models")
    assert "shared" in broken(graph, shared, A_SLICE)


def test_a_slice_must_not_know_another(graph):
    way = f"{A_SLICE}.models", f"{ANOTHER}.models"
    assert broken(graph, *way) == {"features"}
    assert broken(graph, *reversed(way)) == {"features"}


def test_a_slice_that_has_just_come_is_seen(graph):
    endpoints, models = "just_come.endpoints", f"{A_SLICE}.models"
    assert broken(graph, endpoints) == set()
    assert broken(graph, endpoints, models) == {"features"}
    assert "shared" in broken(graph, "paging", endpoints)


@pytest.mark.parametrize("endpoints", ["api", f"{A_SLICE}.endpoints"])
def test_models_must_not_know_endpoints(graph, endpoints):
    assert broken(graph, f"{A_SLICE}.models", endpoints) == {"models"}
    assert "models" in broken(graph, "model", endpoints)
