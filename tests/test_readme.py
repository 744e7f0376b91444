import shutil

import pytest

from support.readme_transcript import README, rewritten


@pytest.mark.skipif(not shutil.which("curl"), reason="the tour uses curl")
def test_the_tour_answers_what_the_readme_says():
    page = README.read_text()
    assert rewritten(page) == page
