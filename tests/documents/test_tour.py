"""The README and the tour: their commands print the output that the pages show."""

import shutil

import pytest

from myapp import FEATURES
from support.readme_transcript import README, TOUR, rewrite_tour
from tools.remove_examples import EXAMPLES

pytestmark = [
    pytest.mark.skipif(not shutil.which("curl"), reason="the tour uses curl"),
    pytest.mark.skipif(
        not {*EXAMPLES} <= {feature.name for feature in FEATURES},
        reason="the tour uses the example features",
    ),
]


def test_the_commands_print_the_output_in_the_readme_and_the_tour():
    texts = [page.read_text() for page in (README, TOUR)]
    assert rewrite_tour(texts) == texts
