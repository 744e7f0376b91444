"""The emptied project, in a clone: it passes all that ours does, and takes a new slice."""

import json

import pytest

from support.clone import Clone, word


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path / "clone")


def empty(clone):
    assert "The house is empty" in clone.flask("empty-house")
    clone.commit()


def paths(clone):
    return json.loads(clone.flask("openapi"))["paths"]


def test_an_emptied_house_is_well(clone):
    empty(clone)
    clone.lint()
    clone.test()
    assert clone.flask("init-db").endswith("2 users\n")
    assert "/api/v1/users/{id}" in paths(clone)
    assert "/api/v1/devices" not in paths(clone)
    assert "empty-house" not in clone.flask("--help")
    assert not word("empty_house").search(clone.words())


def test_an_emptied_house_under_another_name_is_well_and_takes_a_slice(clone):
    clone.flask("rename-project", "quay", "--title", "The quay")
    clone.commit()
    empty(clone)
    assert (clone.folder / "README.md").read_text("utf-8").startswith("# The quay\n")
    clone.lint()
    clone.flask("new-feature", "boats", "name:string:64")
    clone.run("git", "add", "--all")
    clone.commit()
    assert "/api/v1/boats" in paths(clone)
    clone.lint()
    clone.test("quay", "tests/test_house.py", "tests/test_schemas.py")
