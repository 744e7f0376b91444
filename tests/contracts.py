"""What is a slice to import-linter, and what slices share, by where they stand: a folder
with endpoints is a slice, all else in the package is shared."""

from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.independence import IndependenceContract
from importlinter.domain import fields
from importlinter.domain.imports import ModuleExpression

MODULES = fields.SetField(subfield=fields.ModuleExpressionField(), required=False)


def parts(contract, graph):
    """The slices, and what they share, as two sets."""
    (root,) = contract.session_options["root_packages"]
    names = graph.find_children(root)
    slices = {name for name in names if f"{name}.endpoints" in graph.modules}
    return tuple(set(map(ModuleExpression, part)) for part in (slices, names - slices))


class Shared(ForbiddenContract):
    """What slices share knows no slice; `above`: what stands above them instead."""

    source_modules = MODULES
    forbidden_modules = MODULES
    above = MODULES

    def check(self, graph, verbose):
        self.forbidden_modules, shared = parts(self, graph)
        self.source_modules = shared - self.above
        return super().check(graph, verbose)


class Slices(IndependenceContract):
    """A slice knows another only where `ignore_imports` names that edge."""

    modules = MODULES

    def check(self, graph, verbose):
        self.modules, _shared = parts(self, graph)
        return super().check(graph, verbose)
