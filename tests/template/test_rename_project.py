"""Somebody else's project, in a clone of ours: it passes all that ours does.

The clone has what is committed here, and our environment.
"""

import pytest

from support.clone import Clone, word


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path / "clone")


@pytest.fixture
def package(clone):
    """What the project is called here."""
    (line,) = (clone.folder / ".flaskenv").read_text().split()
    return line.partition("=")[2]


def test_a_name_of_16_letters_and_one_of_1_leave_nothing_of_ours(clone, package):
    told = clone.flask("rename-project", "sixteen_letters1", "--title", "Any one's")
    assert f"{package} is sixteen_letters1 now" in told
    assert not word(package).search(clone.words())
    clone.commit()
    clone.lint()
    clone.flask("rename-project", "q", "--title", "Q")  # other line breaks everywhere
    assert not word("sixteen_letters1").search(clone.words())
    clone.commit()
    clone.lint()
