"""The first feature of docs/features.md: its commands write what the page shows."""

import pytest

from myapp import FEATURES
from support.readme_transcript import GUIDE, rewrite_first_feature

pytestmark = pytest.mark.skipif(
    "books" in {feature.name for feature in FEATURES},
    reason="the feature exists already",
)


def test_the_first_feature_has_the_code_and_the_output_of_the_page():
    page = GUIDE.read_text()
    assert rewrite_first_feature(page) == page
