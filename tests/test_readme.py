"""The files that the README names exist.

tests/documents and tests/template run its commands.
"""

import re

import pytest

from support import ROOT

pytestmark = pytest.mark.no_database
README = ROOT / "README.md"
EXAMPLES = {"devices", "imports", "presence", "todos"}
TREE = re.compile(
    r"^## Project structure\n+```text\n(.*?)^```", re.DOTALL | re.MULTILINE
)


def test_every_path_in_the_project_structure_exists():
    paths = list(listed_paths(TREE.search(README.read_text())[1]))
    assert ROOT / "myapp/core/http" in paths
    # An example may be deleted without its line.
    examples = {ROOT / "myapp" / name for name in EXAMPLES}
    assert [path for path in paths if not path.exists() and path not in examples] == []


def listed_paths(tree):
    """Yield the path in each line of a tree whose levels are indented by two spaces."""
    parents = [ROOT]
    for line in tree.splitlines():
        name = line.split()[0]
        level = (len(line) - len(line.lstrip())) // 2
        del parents[level + 1 :]
        parents.append(parents[level] / name)
        yield parents[-1]
