"""The setting of the folder of files."""

import os

import pytest


@pytest.mark.parametrize(
    "given, expected", [(None, "{instance}/imports"), ("here", "{here}"), ("/x", "/x")]
)
def test_the_folder_is_an_absolute_path(make_app, given, expected):
    app = make_app(IMPORTS_FOLDER=given)
    here = os.path.abspath("here")
    wanted = expected.format(instance=app.instance_path, here=here)
    assert app.config["IMPORTS_FOLDER"] == wanted
