import re
import shutil

import pytest

from myapp import FEATURES
from support.readme_transcript import README, ROOT, rewritten

pytestmark = pytest.mark.no_database  # always SQLite, as `make run` uses it
EXAMPLES = {"devices", "imports", "presence", "todos"}
TREE = re.compile(
    r"^## Project structure\n+```text\n(.*?)^```", re.DOTALL | re.MULTILINE
)


@pytest.mark.skipif(not shutil.which("curl"), reason="the tour uses curl")
@pytest.mark.skipif(
    not EXAMPLES <= {feature.name for feature in FEATURES},
    reason="the tour uses the example features",
)
def test_the_tour_answers_what_the_readme_says():
    page = README.read_text()
    assert rewritten(page) == page


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
