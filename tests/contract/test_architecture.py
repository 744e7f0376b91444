"""The layout of the code: what is where, how long it is, and which words it may use."""

import re
from statistics import quantiles
from types import ModuleType

import pytest

import myapp
from myapp import FEATURES
from support import ROOT

PACKAGE = ROOT / myapp.__name__
SHARED = {"core", "ops"}
MODULES = [
    path
    for folder in (PACKAGE, ROOT / "tools", ROOT / "bench", ROOT / "deploy")
    for path in folder.rglob("*.py")
    if not path.name.startswith("test_")
]
# The examples and their words; core must work for every other domain as well.
EXAMPLES = re.compile(
    r"\b(devices?|presence|heartbeats?|imports?_|todos?|audit)\b", re.I
)
TEXTS = {".py", ".html", ".js", ".css", ".svg"}


def lines_of(path):
    return path.read_text(encoding="utf-8").count("\n")


def test_the_package_contains_features_and_shared_code():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    files = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert folders == SHARED | {feature.name for feature in FEATURES}
    assert files == {"__init__.py", "py.typed", "version.py"}


def test_no_module_is_long():
    lengths = {path: lines_of(path) for path in MODULES}
    assert [path for path, length in lengths.items() if length > 400] == []
    assert quantiles(lengths.values(), n=10)[-1] <= 250


@pytest.mark.parametrize(
    "path",
    [path for path in (PACKAGE / "core").rglob("*") if path.suffix in TEXTS],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_core_names_no_example(path):
    text = path.read_text(encoding="utf-8")
    assert EXAMPLES.findall(text) == []


def test_a_feature_imports_only_public_names():
    names = vars(myapp.core).items()
    public = {name for name, value in names if not isinstance(value, ModuleType)}
    imported = set()
    for path in PACKAGE.glob("*/*.py"):
        if path.parent.name not in SHARED and not path.name.startswith("test_"):
            for names in re.findall(
                r"^from \.\.core import (\([^)]*\)|.*)$",
                path.read_text(encoding="utf-8"),
                re.M,
            ):
                imported |= set(re.findall(r"\w+", names))
    assert imported <= public
