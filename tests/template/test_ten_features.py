"""A project of one's own: renamed, without the examples, and with ten generated features.

The features pass the checks of a commit, their own tests and the contract tests, without
any edit. SQLite only: the whole suite runs on each database in the project itself.
"""

import pytest

from myapp import FEATURES
from support.clone import Clone

NAME = "corner_shop"
TEN = """
    books title:string:120 pages:integer:1..5000 isbn:string? published:date
    authors name:string:80:unique born:date? alive:boolean bio:text:200..500
    novels title author:reference:authors editor:reference:authors? book:reference:books?
        isbn:string:13..13:unique? price:number:0..999.99?
    genres --open name:string:40:unique kind:enum:fiction,fact note:text?
    readings --parent books value:number:-50..150 taken_at:datetime unit:enum:C,F,K?
        order:integer? label:string:1..8:unique
    notes --store redis body_text:text:500 is_starred:boolean? due:date?
    other --store redis --open level:number?
    crew --parent genres best_genre:reference:genres
    people full_name?:string about:text:10000? age:integer:0..150? height:number?
        member:boolean? born:date? seen_at:datetime? mood:enum:good,bad?
        best_book:reference:books?
    pytests --explicit key:number:0..1 group:string:20? desc:text:10000
        limit:integer:-9223372036854775807..9223372036854775807
"""
FEATURE_WORDS = [
    line.split() for line in TEN.replace("\n        ", " ").strip().splitlines()
]
pytestmark = pytest.mark.skipif(
    bool({words[0] for words in FEATURE_WORDS} & {f.name for f in FEATURES}),
    reason="some of these features exist already",
)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    clone = Clone(tmp_path_factory.mktemp("ten") / "clone")
    clone.flask("rename-project", NAME)
    clone.commit()
    clone.flask("remove-examples")
    clone.commit()
    for words in FEATURE_WORDS:
        clone.flask("new-feature", *words)
    clone.commit()
    return clone


def test_ten_features_pass_the_checks_of_a_commit(clone):
    clone.lint()


def test_ten_features_pass_their_own_tests_and_those_of_every_feature(clone):
    # The sample features keep the contract in every clone alike.
    clone.test(NAME, "tests/contract", "-k 'not sample_'")
