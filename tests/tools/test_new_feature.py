"""`flask new-feature`: the files that it writes, its refusals, and all or nothing."""

import ast
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from errno import ENOSPC
from pathlib import Path
from shlex import split
from types import SimpleNamespace

import pytest
from black import Mode, format_str

from support import ROOT
from support.copies import copy_code
from tools.new_feature import edits, field, project, words, writing
from tools.new_feature.feature import Feature

PACKAGE = project.PACKAGE
KNOWN = (
    *("default_config.py", "openapi.json", "conftest.py", "README.md", "wsgi.py"),
    *(".importlinter", ".flake8", ".gitignore", "migrations", "tools", PACKAGE),
)
XYLOPHONES = "xylophones name:string:120 keys:integer:1..5000 maker:string? built:date"
REFUSED = {
    "xylophones": "xylophones needs properties",
    f"{PACKAGE} a": "a module beside",
    "conftest a": "a module beside",
    "instance a": ".gitignore excludes that name",
    "alembic_version a": "a table has that name",
    "xylophones a --singular ''": "A record cannot be called ''",
    "xylophones a --parent ''": "there is no feature ''",
    "permissions a": "there is a Permission already. Use --singular",
    "registrations a": "there is a Registration already. Use --singular",
    "users a": "there is one already",
    "core a": "the package has that name already",
    "version a": "the package has that name already",
    "commands a": "the package has that name already",
    "sql_alchemy__x a": "single underscores",
    "Books a": "lower-case letters",
    "my-books a": "lower-case letters",
    "2books a": "lower-case letters",
    "class a": "a keyword of Python",
    "lists a --singular Lists": "lower-case letters",
    "list a": "a builtin of Python",
    "sql_models a": "its own code needs another 'SqlModel'",
    "crud_resources a": "its own code needs another 'CrudResource'",
    "accepts a --explicit": "its own code needs another 'accepts'",
    "resources a --explicit": "its own code needs another 'Resource'",
    "order a": "it is reserved in SQL",
    "xylophones a --singular role": "there is a Role already",
    "abcdefghijklmnopqrstuvwxyz a": "more than 24 characters",
    "xylophones abcdefghijklmnopqrstuvwxyz": "more than 24 characters",
    "xylophones a a:integer": "two properties a",
    "xylophones a:strin": "unknown type 'strin'",
    "xylophones :string": "lower-case letters",
    "xylophones a:": "unknown type ''",
    "xylophones a:integer:unique:unique": "write limits as",
    "xylophones if:string": "a keyword of Python",
    **{
        f"xylophones {name}:string{more}": f"{name!r}: that is reserved"
        for name in (
            *("id", "owner", "owner_id", "metadata", "page", "self", "body"),
            *("read_schema", "shown_fields", "filters", "search_fields"),
        )
        for more in ("", " --store redis", " --parent sample_gadgets")
    },
    "xylophones parent_field --parent sample_gadgets": "'parent_field': that is reserved",
    "xylophones a:string:0": "no value between 1 and 0",
    "xylophones a:string:0..0": "no value between 0 and 0",
    "xylophones a:string:300": "have the type text",
    "xylophones a:text:10001": "a text is from 0 to 10000",
    "xylophones a:string:x..y": "write limits as a:string:1..50",
    "xylophones a:integer:5..1": "no value between",
    "xylophones a:integer:1..1": "no value between",
    "xylophones a:integer:1.5": "write limits as",
    "xylophones a:integer:5": "write limits as a:integer:1..50",
    "xylophones a:number:5": "write limits as a:number:1..50",
    "xylophones a:integer:1..9223372036854775808": "an integer is from",
    "xylophones a:number:nan..1": "write limits as",
    "xylophones a:number:1..inf": "write limits as",
    "xylophones a:number:1..1e16": "a number is from",
    "xylophones a:string:1..5:6": "unexpected '6'",
    "xylophones a:date:5": "unexpected '5'",
    "xylophones a:enum": "list the values",
    "xylophones a:enum:new": "list the values",
    "xylophones a:enum:new,!": "list the values",
    f"xylophones a:enum:new,{'u' * 41}": "each has at most 40 letters",
    "xylophones a:boolean:unique": "cannot be unique",
    "xylophones a:text:unique": "cannot be unique",
    "xylophones a:datetime?:unique": "cannot be unique",
    "xylophones a:reference:nothing": "there is no feature 'nothing'",
    "xylophones a:reference:sample_signals": "'sample_signals' with records in SQL",
    "xylophones a:reference": "name the feature, as a:reference:authors",
    "xylophones a:reference:xylophones": "xylophones cannot refer to xylophones",
    "xylophones a:reference:users": "not every account may",
    "xylophones a:reference:sample_files": "not every account may",
    "xylophones a:reference:sample_gadgets --open": "a sample gadget has an owner",
    "xylophones a:reference:sample_gadgets --parent sample_chores": "has an owner",
    "xylophones a --parent nothing": "there is no feature 'nothing'",
    "xylophones a --parent users": "not every account may",
    "xylophones a --parent sample_gadgets --open": "--parent and --open exclude each other",
    "xylophones a --parent sample_gadgets --store redis": "exclude each other",
    "xylophones sample_gadget --parent sample_gadgets": "'sample_gadget': that is reserved",
    "xylophones a:string:unique --store redis": "no unique properties in Redis",
    "xylophones a:reference:sample_gadgets --store redis": "no references in Redis",
    "xylophones a --store paper": "is not one of 'sql', 'redis'",
    "xylophones " + " ".join(f"a{n}" for n in range(41)): "at most 40 properties",
    "a_very_very_long_feature a_very_very_long_propert": "would be too long",
}


def copy_project(folder):
    """Copy to `folder` what the command reads and changes, and return `folder`."""
    for name in KNOWN:
        if (ROOT / name).is_dir():
            copy_code(ROOT / name, folder / name)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """Return a copy of the project that the command changes instead of the project."""
    folder = copy_project(tmp_path)
    monkeypatch.setattr(project, "ROOT", folder)
    return folder


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory):
    """Return a copy of the project, and its contents."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    return folder, contents(folder)


@pytest.fixture
def shared_copy(shared_folder, monkeypatch):
    """Yield a copy of the project for tests of commands that fail. It must not change."""
    folder, before = shared_folder
    monkeypatch.setattr(project, "ROOT", folder)
    yield folder
    assert contents(folder) == before
    assert not (folder / PACKAGE / "xylophones").exists()


@pytest.fixture(scope="module")
def written(shared_app, tmp_path_factory):
    """Return a copy of the project to which the command has added a feature."""
    folder = copy_project(tmp_path_factory.mktemp("written"))
    before = contents(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(project, "ROOT", folder)
        result = new_feature(shared_app, XYLOPHONES)
    assert result.exit_code == 0, result.output
    return SimpleNamespace(
        folder=folder, before=before, after=contents(folder), output=result.output
    )


def contents(folder):
    """Return every file of a folder with its content, without what Python compiled."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {p: p.read_bytes() for p in files if p.parent.name != "__pycache__"}


def new_feature(app, arguments):
    return app.test_cli_runner().invoke(args=["new-feature", *split(arguments)])


def test_a_feature_is_written_and_formatted(app, written, monkeypatch):
    before, after, folder = written.before, written.after, written.folder
    assert "flask deploy" in written.output
    package = folder / PACKAGE
    names = ("__init__.py", "endpoints.py", "models.py", "test_xylophones.py")
    files = {package / "xylophones" / name for name in names}
    new = after.keys() - before.keys()
    (migration,) = new - files
    assert migration.match("migrations/versions/*_xylophones.py")
    changed = {path for path in before if after[path] != before[path]}
    assert changed - {folder / "README.md"} == {
        package / "__init__.py",
        folder / "openapi.json",
    }
    for path in (*new, package / "__init__.py"):
        text = after[path].decode()
        assert format_str(text, mode=Mode()) == text
    flake8 = [sys.executable, "-m", "flake8", *map(str, new)]
    assert subprocess.run(flake8, cwd=folder).returncode == 0
    assert len(after[package / "xylophones/endpoints.py"].splitlines()) <= 15
    assert len(after[package / "xylophones/test_xylophones.py"].splitlines()) <= 30
    monkeypatch.setattr(project, "ROOT", folder)
    again = new_feature(app, XYLOPHONES)
    assert (again.exit_code, contents(folder)) == (2, after)
    assert "the package has that name already" in " ".join(again.output.split())


def test_explicit_verbs_have_the_document_of_the_short_form(app, copy, written):
    assert new_feature(app, f"{XYLOPHONES} --explicit").exit_code == 0
    for folder, verbs in ((written.folder, 0), (copy, 6)):
        endpoints = (folder / PACKAGE / "xylophones" / "endpoints.py").read_text()
        assert endpoints.count("@requires()") == verbs
    document = (copy / "openapi.json").read_bytes()
    assert document == written.after[written.folder / "openapi.json"]


@pytest.mark.parametrize("arguments", REFUSED)
def test_an_invalid_feature_is_refused(app, shared_copy, arguments):
    result = new_feature(app, arguments)
    assert result.exit_code == 2, result.output
    assert REFUSED[arguments] in " ".join(result.output.split())


@pytest.mark.parametrize("count", range(7))
def test_a_failure_in_the_middle_leaves_nothing_behind(
    app, shared_copy, monkeypatch, count
):
    copyfile, written = shutil.copyfile, []

    def copy_until_the_disk_is_full(source, target, **options):
        if shared_copy in Path(target).parents:
            written.append(target)
            if len(written) > count:
                target.write_bytes(b"half of")
                raise OSError(ENOSPC, "No space left on device")
        return copyfile(source, target, **options)

    for slow in ("run", "tidy"):
        monkeypatch.setattr(writing, slow, lambda *_: None)
    monkeypatch.setattr(shutil, "copyfile", copy_until_the_disk_is_full)
    result = new_feature(app, XYLOPHONES)
    assert result.exit_code == 1
    assert "Nothing was written: No space left on device" in result.output
    assert len(written) == count + 1


def test_a_feature_that_does_not_work_is_not_written(app, copy):
    (copy / PACKAGE / "version.py").write_text("nonsense")
    before = contents(copy)
    result = new_feature(app, XYLOPHONES)
    assert result.exit_code == 1
    assert "does not work; nothing was written: NameError" in result.output
    assert contents(copy) == before


@pytest.mark.parametrize("file", ["README.md", "openapi.json", "migrations/versions"])
def test_a_read_only_file_is_named(app, shared_copy, monkeypatch, file):
    # Root may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, _: path != shared_copy / file)
    result = new_feature(app, XYLOPHONES)
    assert result.exit_code == 1
    assert result.output == f"Error: Nothing was written: {file} is read-only.\n"


@pytest.mark.parametrize(
    "migration, reason",
    [
        ("revision = 'a'\ndown_revision = 'nothing'", "nothing"),
        ("revision = ", "invalid syntax (wrong.py, line 1)"),
    ],
)
def test_an_invalid_migration_is_named(app, copy, migration, reason):
    (copy / "migrations" / "versions" / "wrong.py").write_text(migration)
    result = new_feature(app, XYLOPHONES)
    assert result.exit_code == 1
    assert result.output.startswith("Error: A migration is invalid: ")
    assert reason in result.output and "/" not in result.output
    assert not (copy / PACKAGE / "xylophones").exists()


def test_sigterm_leaves_nothing_behind(app, shared_copy, monkeypatch, tmp_path):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    end = lambda *_: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    monkeypatch.setattr(writing, "run", end)
    result = new_feature(app, XYLOPHONES)
    assert result.exit_code == 128 + signal.SIGTERM
    assert not any((tmp_path / "tmp").iterdir())
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_folder_of_compiled_files_is_no_feature(app, copy, monkeypatch):
    for slow in ("run", "tidy"):
        monkeypatch.setattr(writing, slow, lambda *_: None)
    compiled = copy / PACKAGE / "xylophones" / "__pycache__" / "a.pyc"
    compiled.parent.mkdir(parents=True)
    compiled.touch()
    result = new_feature(app, XYLOPHONES)
    assert result.exit_code == 0, result.output
    assert (compiled.parents[1] / "models.py").exists()


def test_a_missing_inflect_is_named(app, shared_copy, monkeypatch):
    words.inflector.cache_clear()
    monkeypatch.setitem(sys.modules, "inflect", None)
    result = new_feature(app, XYLOPHONES)
    assert result.exit_code == 1
    assert result.output == (
        "Error: This command needs the package inflect. To install it: make .venv/dev.\n"
    )


# The text of the files


def render(app, arguments):
    """Return the files of a feature before they are formatted, by their names."""
    with app.app_context():
        command = app.cli.get_command(None, "new-feature")
        options = command.make_context("new-feature", split(arguments)).params
        files = writing.render(Feature(**options))
    return {Path(path).name: text for path, text in files.items()}


LONG = "abcdefghij_klmnopqrstuvw"  # the longest name
EXTREME = [
    f"{LONG} " + " ".join(f"a{n}:string?" for n in range(40)),
    f"{LONG} {LONG}:text:200..500 --open",
    f"{LONG} {LONG}:boolean {LONG[:-1]}:number:0..1e15 --store=redis",
    f"{LONG} {LONG[:-1]}:enum:{'v' * 40},{'w' * 40}? b:enum:a,b",
    f"{LONG} " + " ".join(f"a{n}:enum:{'v' * 40},{'w' * 40}" for n in range(40)),
    "essays about:text:9999..10000 code:string:200..255:unique name:string:0..1",
    f"{LONG[:6]} {LONG}:string:255:unique --parent=sample_gadgets",
    "maintenance_appointments note:text --parent=sample_gadgets",
    "pairs one:reference:sample_gadgets two:reference:sample_gadgets?",
]
ODD_NAMES = [
    *("requests", "clients", "pytests", "bodies", "lists", "crew", "news"),
    *("apps", "resources", "answers", "responses", "features", "json", "operations"),
]


@pytest.mark.parametrize("form", ["", " --explicit"])
def test_lines_of_extreme_features_are_short_enough(app, tmp_path, form):
    (tmp_path / ".flake8").write_text((ROOT / ".flake8").read_text())
    for number, arguments in enumerate(EXTREME):
        (tmp_path / f"{number}").mkdir()
        for name, text in render(app, arguments + form).items():
            text = format_str(text, mode=Mode())
            (tmp_path / f"{number}" / name).write_text(text)
            assert not name.startswith("test_") or len(text.splitlines()) <= 30
    flake8 = [sys.executable, "-m", "flake8"]
    done = subprocess.run(flake8, cwd=tmp_path, capture_output=True, text=True)
    assert not done.stdout


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_test_function_has_no_fixture_of_its_features_name(app, name):
    tree = ast.parse(render(app, f"{name} a:string")[f"test_{name}.py"])
    (test,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert [argument.arg for argument in test.args.args] == ["client"]


@pytest.mark.parametrize(
    "plural, singular",
    [
        ("movies", "a movie"),
        ("series", "a series"),
        ("heroes", "a hero"),
        ("potatoes", "a potato"),
        ("statuses", "a status"),
        ("quizzes", "a quiz"),
        ("analyses", "an analysis"),
        ("caches", "a cache"),
        ("menus", "a menu"),
        ("knives", "a knife"),
        ("people", "a person"),
        ("moments_of_joy", "a moment of joy"),
        ("hours", "an hour"),
        ("unicorns", "a unicorn"),
        ("mp3s", "an MP3"),
        ("url_aliases", "a URL alias"),
    ],
)
def test_the_singular_follows_english_grammar(plural, singular):
    name = words.singular_of(plural)
    assert words.with_article(words.in_words(name)) == singular


@pytest.mark.parametrize(
    "argument, code",
    [
        ("title?:string", 'optional(text(1, 255, "Title.", "Some title"))'),
        ("title:string?:80", 'optional(text(1, 80, "Title.", "Some title"))'),
        ("code:string:3..8", 'text(3, 8, "Code.", "x" * 3)'),
        ("isbn:string:20", 'text(1, 20, "ISBN.", "Some ISBN")'),
        ("about:text:200..500", 'text(200, 500, "About.", "x" * 200)'),
        ("pages:integer:1..5000", 'integer(1, 5000, "Pages.", 7)'),
        ("price:number:0.5..1", 'number(0.5, 1, "Price.", 0.5)'),
        ("is_open:boolean", 'boolean("True if it is open.")'),
        ("has_cover:boolean?", 'boolean("True if it has cover.", default=False)'),
        ("lent:boolean", 'boolean("True if it is lent.")'),
        ("state:enum:new, used", 'enum("State.", "new", "used")'),
        ("born:date?", 'optional(date("Born."))'),
    ],
)
def test_each_property_has_its_own_description(argument, code):
    assert field.parse(argument).schema == code


# The files that name the features

TREE = """\
myapp/
  roles/      the roles of accounts
  status/     whether the service works
  core/       what features are built from
"""


@pytest.fixture
def feature(app, shared_copy):
    with app.app_context():
        arguments = "pears a:string gadget:reference:sample_gadgets"
        command = app.cli.get_command(None, "new-feature")
        yield Feature(**command.make_context("new-feature", split(arguments)).params)


def test_the_tree_of_the_readme_gets_a_line_after_the_last_feature(feature):
    lines = edits.add_to_readme(TREE, feature).splitlines()
    assert lines.pop(3) == "  pears/      Pears, each of an account."
    assert lines == TREE.splitlines()


def test_a_readme_without_a_tree_stays_as_it_is(feature):
    assert edits.add_to_readme("# My service\n", feature) == "# My service\n"


def test_the_import_of_another_features_model_is_declared(feature):
    text = (
        "[importlinter:contract:features]\n"
        "broken_contract_guidance =\n"
        f"    Declare it, as:\n    {PACKAGE}.b.* -> {PACKAGE}.a.models\n"
        "ignore_imports =\n"
        f"    {PACKAGE}.account.* -> {PACKAGE}.roles.models\n"
        f"    {PACKAGE}.users.* -> {PACKAGE}.roles.models\n"
    )
    lines = edits.add_to_contracts(text, feature).splitlines()
    assert lines.pop(6) == f"    {PACKAGE}.pears.* -> {PACKAGE}.sample_gadgets.models"
    assert lines == text.splitlines()


def test_the_import_comes_after_the_modules_of_the_feature_before_it(feature):
    text = (
        "from .auth import auth\nfrom .auth.models import account_by_session\n"
        "from .core import application\nfrom .users import users\n\n"
        "FEATURES = (\n    auth,\n    users,\n)\n"
    )
    lines = edits.add_to_package(text, feature).splitlines()
    assert lines.pop(9) == "    pears,"
    assert lines.pop(2) == "from .pears import pears"
    assert lines == text.splitlines()
