"""Ten features that nobody has written by hand, in a clone under a name of its own: they
pass all that ours pass, without a further edit."""

import shutil

import pytest

from myapp import FEATURES
from support.clone import KEPT, Clone
from support.readme_transcript import README, with_first_feature

SERVERS = pytest.mark.parametrize("server", ["", "postgresql", "mariadb"])  # or SQLite
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
    pytests key:number:0..1 group:string:20? desc:text:10000
        limit:integer:-9223372036854775807..9223372036854775807
"""
pytestmark = pytest.mark.skipif(
    any(feature.name in TEN.split() for feature in FEATURES),
    reason="some of these features are there already",
)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    clone = Clone(tmp_path_factory.mktemp("ten") / "clone")
    clone.flask("rename-project", "corner_shop")
    clone.commit()
    for line in TEN.replace("\n        ", " ").strip().splitlines():
        clone.flask("new-feature", *line.split())
    clone.run("git", "add", "--all")
    clone.commit()
    return clone


def test_ten_features_pass_the_checks_of_every_commit(clone):
    clone.lint()


@SERVERS
def test_ten_features_pass_every_test(clone, server):
    clone.test(server=server)


@SERVERS
def test_ten_features_do_what_their_document_says(clone, server):
    clone.run("make", *KEPT, "fuzz", f"DB={server}", "SECONDS=60", "ARGS=--seed 7")


@pytest.mark.skipif(not shutil.which("npm"), reason="newman needs Node")
def test_ten_features_run_in_postman_from_top_to_bottom(clone):
    clone.run("make", *KEPT, "clients/node_modules")
    clone.run(".venv/bin/python", "-m", "pytest", "tests/documents/test_newman.py")


def test_the_readmes_first_feature_is_made_and_answers_as_it_says():
    page = README.read_text()
    assert with_first_feature(page) == page
