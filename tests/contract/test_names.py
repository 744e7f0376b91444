"""Names: verbs and nouns, and one meaning for each name in `core`."""

import ast

import pytest

from support import ROOT

# A participle alone does not say what it names.
PARTICIPLES = {"asked", "found", "made", "said", "told", "wrong"}
SHARED = {"init_app"}  # every module that registers something defines it
CORE = sorted((ROOT / "myapp" / "core").rglob("*.py"))
FILES = sorted(
    path
    for folder in ("myapp", "tools", "tests")
    for path in (ROOT / folder).rglob("*.py")
)


def bound_names(tree):
    """Yield each name that a module binds, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name, node.lineno
        elif isinstance(node, ast.alias):
            yield node.asname or node.name, node.lineno


def definitions(tree):
    """Yield each name that the statements of a module define, and the code of its value,
    which is None for functions and classes; imports do not count."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, None
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                names = target.elts if isinstance(target, ast.Tuple) else [target]
                for name in names:
                    if isinstance(name, ast.Name):
                        yield name.id, ast.unparse(node.value) if node.value else None


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.no_database
def test_no_name_is_a_bare_participle():
    bad = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in FILES
        for name, line in bound_names(parse(path))
        if name.strip("_") in PARTICIPLES
    ]
    assert bad == []


@pytest.mark.no_database
def test_a_name_means_one_thing_in_core():
    meanings = {}
    for path in CORE:
        for name, value in definitions(parse(path)):
            if name not in SHARED and not name.startswith("__"):
                meaning = value or path.relative_to(ROOT).as_posix()
                meanings.setdefault(name, set()).add(meaning)
    assert {name: each for name, each in meanings.items() if len(each) > 1} == {}
