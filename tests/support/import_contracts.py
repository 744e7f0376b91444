"""The contracts of .importlinter that have to find the features themselves.

A package with a module `endpoints` is a feature.
"""

from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.independence import IndependenceContract
from importlinter.domain import fields
from importlinter.domain.imports import ModuleExpression

MODULES = fields.SetField(subfield=fields.ModuleExpressionField(), required=False)


def features(contract, graph):
    """Return the packages of the features, as a set of module expressions.

    Their test modules, which import internals of others, are removed from the graph.
    """
    for module in [name for name in graph.modules if ".test_" in name]:
        graph.remove_module(module)
    root, *_ = contract.session_options["root_packages"]
    names = graph.find_children(root)
    values = {name for name in names if f"{name}.endpoints" in graph.modules}
    return set(map(ModuleExpression, values))


class NoFeatures(ForbiddenContract):
    """The source modules import no feature."""

    forbidden_modules = MODULES

    def check(self, graph, verbose):
        self.forbidden_modules = features(self, graph)
        return super().check(graph, verbose)


class Features(IndependenceContract):
    """A feature imports another one only where `ignore_imports` declares it."""

    modules = MODULES

    def check(self, graph, verbose):
        self.modules = features(self, graph)
        return super().check(graph, verbose)


class FeaturesForbidden(ForbiddenContract):
    """No feature imports the forbidden modules."""

    source_modules = MODULES

    def check(self, graph, verbose):
        self.source_modules = features(self, graph)
        return super().check(graph, verbose)
