"""A feature that is defined wrongly ends the service at its start, with one sentence."""

import os
import subprocess
import sys

import pytest

from myapp.core import (
    DefinitionError,
    FeatureApi,
    Owned,
    Resource,
    SqlModel,
    accepts,
    idempotent,
    public,
    requires,
    responds_with,
)
from myapp.core.security.permissions import check_verbs
from support import ROOT
from support.copies import copy_code
from support.features.sample_gadgets.models import SampleGadget

DECORATORS = [
    requires(),
    idempotent,
    accepts(SampleGadget),
    responds_with(SampleGadget, 201),
]


def test_a_model_without_a_write_schema_is_refused():
    with pytest.raises(DefinitionError, match=r"\.Book has no write_schema: set it to"):

        class Book(Owned, SqlModel):
            __tablename__ = "sample_books"


@pytest.mark.parametrize("number", [0, 1, 2])
def test_decorators_in_another_order_are_refused(number):
    def post(self, body):
        """Add a book."""

    order = DECORATORS[:]
    order[number : number + 2] = order[number : number + 2][::-1]
    with pytest.raises(DefinitionError, match=r"\.post: put @\w+ above @\w+\.$"):
        for decorate in reversed(order):
            post = decorate(post)


def mounted(make_app, *decorators):
    """Return an application with a feature whose verb has these decorators."""
    app, feature = make_app(), FeatureApi("sample_books", "Books.")

    class Books(Resource):
        def get(self):
            """List the books."""

    for decorate in decorators:
        Books.get = decorate(Books.get)
    feature.route("/")(Books)
    feature.mount(app)
    return app


@pytest.mark.parametrize(
    "decorators, sentence",
    [
        ([], r"\.get needs @requires\(\) or @public\."),
        (
            [requires("sample_books:burn")],
            r"\.get requires sample_books:burn, which no FeatureApi",
        ),
    ],
)
def test_a_verb_must_tell_who_may_call_it(make_app, decorators, sentence):
    with pytest.raises(DefinitionError, match=sentence):
        check_verbs(mounted(make_app, *decorators))
    check_verbs(mounted(make_app, public))


def test_a_feature_needs_resources(make_app):
    with pytest.raises(
        DefinitionError, match="sample_books has no resources: import its"
    ):
        FeatureApi("sample_books", "Books.").mount(make_app())


@pytest.mark.parametrize(
    "file, before, after, code, sentence",
    [
        (
            "roles/models.py",
            "write_schema =",
            "schema =",
            1,
            "Error: myapp.roles.models.",
        ),
        ("roles/models.py", "    text,\n", "", 1, "name 'text' is not defined."),
        (
            "__init__.py",
            "    audit,\n",
            "",
            0,
            "/myapp/audit is a feature, but it is not",
        ),
    ],
)
def test_the_first_line_at_the_start_is_one_sentence(
    tmp_path, file, before, after, code, sentence
):
    copy_code(ROOT / "myapp", tmp_path / "myapp")
    (tmp_path / "default_config.py").symlink_to(ROOT / "default_config.py")
    path = tmp_path / "myapp" / file
    path.write_text(path.read_text().replace(before, after, 1))
    done = subprocess.run(
        [sys.executable, "-m", "flask", "routes"],
        cwd=tmp_path,
        env={**os.environ, "FLASK_APP": "myapp", "FLASK_CONFIG": "development"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
