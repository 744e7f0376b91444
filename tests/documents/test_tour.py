"""The README's tour: its commands answer what the page shows."""

import shutil

import pytest

from myapp import FEATURES
from support.readme_transcript import README, rewritten
from tools.remove_examples import EXAMPLES

pytestmark = [
    pytest.mark.skipif(not shutil.which("curl"), reason="the tour uses curl"),
    pytest.mark.skipif(
        not {*EXAMPLES} <= {feature.name for feature in FEATURES},
        reason="the tour uses the example features",
    ),
]


def test_the_tour_answers_what_the_readme_says():
    page = README.read_text()
    assert rewritten(page) == page
