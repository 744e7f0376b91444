"""A feature is one folder: delete the examples by hand, and the other tests pass.

The steps are those of docs/features.md, under "Remove a feature".
"""

import pytest

from support import ROOT
from support.clone import Clone
from tools.remove_examples import EXAMPLES, PACKAGE

pytestmark = pytest.mark.skipif(
    not all((ROOT / PACKAGE / name).is_dir() for name in EXAMPLES),
    reason="the examples are removed",
)


def test_the_tests_of_a_project_without_the_examples_pass(tmp_path):
    clone = Clone(tmp_path / "clone")
    for name in EXAMPLES:
        clone.delete(f"{PACKAGE}/{name}")
        clone.edit(f"{PACKAGE}/__init__.py", rf"from \.{name} import", rf" +{name},")
    clone.edit("tests/authorization.txt", rf"[A-Z]+ +({'|'.join(EXAMPLES)})/")
    clone.run(".venv/bin/lint-imports", "--no-cache")
    clone.flask("db", "upgrade")
    clone.flask("db", "migrate", "--message", "Drop the tables of the examples")
    document = clone.flask("openapi")
    (clone.folder / "openapi.json").write_text(document, encoding="utf-8")
    clone.flask("reference")
    clone.test()
