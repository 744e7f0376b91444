"""`flask reference`: the pages of settings and commands, and .env.example."""

from types import ModuleType

import pytest
from dotenv import dotenv_values

from myapp import FEATURES
from myapp.core.settings import read_environment
from support import ROOT
from tools import reference, repository

PAGES = ("docs/settings.md", "docs/commands.md", ".env.example")
pytestmark = pytest.mark.no_database


@pytest.fixture
def app(app, monkeypatch):
    """Return the application without the sample features, which no page mentions."""
    monkeypatch.setitem(app.extensions, "features", FEATURES)
    return app


@pytest.mark.parametrize("page", PAGES)
def test_a_page_matches_the_code(app, page):
    with app.app_context():
        text = reference.pages()[page]
    assert (ROOT / page).read_text("utf-8") == text, "run: flask reference"


def test_the_command_writes_the_pages(app, tmp_path, monkeypatch):
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    result = app.test_cli_runner().invoke(args=["reference"])
    assert result.output.split() == list(PAGES)
    for page in PAGES:
        assert (tmp_path / page).read_bytes() == (ROOT / page).read_bytes()


def test_each_line_of_the_example_of_dotenv_sets_a_default(tmp_path):
    groups = reference.setting_groups(FEATURES).values()
    defaults = {name: default for group in groups for name, default, _ in group}
    assert {"SECRET_KEY", "PORT", "AUDIT_DAYS"} <= defaults.keys()
    assert dotenv_values(ROOT / ".env.example") == {}  # all are comments
    text = (ROOT / ".env.example").read_text("utf-8")
    lines = [line[1:] for line in text.splitlines() if line[1:2].isupper()]
    assert len(lines) == len(defaults)
    (tmp_path / ".env").write_text("\n".join(lines))
    settings = read_environment(defaults, dotenv_values(tmp_path / ".env"))
    for name, value in settings.items():
        assert value == ("" if defaults[name] is None else defaults[name]), name


def test_a_setting_without_a_comment_is_an_error(tmp_path):
    module = ModuleType("settings")
    module.__file__ = str(tmp_path / "settings.py")
    (tmp_path / "settings.py").write_text("A = 1  # a number\nB = 2\n")
    with pytest.raises(ValueError, match="settings: no comment at B"):
        reference.settings_in(module, {"A": 1, "B": 2})
