"""`flask new-feature`: what it writes, what it refuses, and that it does all or nothing.

The features that it writes are tried in tests/own.
"""

import ast
import builtins
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from errno import ENOSPC
from pathlib import Path
from re import findall
from shlex import split

import pytest
from black import Mode, format_str

import myapp
from myapp import FEATURES
from support import ROOT
from tools.new_feature import feature, field, project, words, writing

KNOWN = (
    *("default_config.py", "openapi.json", "conftest.py", "README.md", "wsgi.py"),
    *(".importlinter", ".flake8", ".gitignore", "tests/test_readme.py"),
    *("migrations", project.PACKAGE.name),
)
XYLOPHONES = "xylophones name:string:120 keys:integer:1..5000 maker:string? built:date"
REFUSED = {
    "xylophones": "What does a xylophone have?",
    f"{project.PACKAGE.name} a": "a module beside",
    "conftest a": "a module beside",
    "tests a": "a module beside",
    "instance a": ".gitignore hides what is called so",
    "alembic_version a": "a table has that name",
    "xylophones a --singular ''": "One of them cannot be called ''",
    "xylophones a --parent ''": "there is no feature ''",
    "permissions a": "the document has another Permission. Say --singular",
    "registrations a": "the document has another Registration. Say --singular",
    "users a": "there is one of that name",
    "model a": "the project has something of that name",
    "templates a": "the project has something of that name",
    "readme a": "the project has something of that name",
    "sql_alchemy__x a": "single underscores",
    "Books a": "small letters",
    "my-books a": "small letters",
    "2books a": "small letters",
    "class a": "a word of Python",
    "lists a --singular Lists": "small letters",
    "list a": "would hide a word",
    "answers a": "would hide a word",
    "resources a": "would hide a word",
    "order a": "a word of SQL",
    "xylophones a --singular device": "device is what a thing of devices is called",
    "abcdefghijklmnopqrstuvwxyz a": "at most 24 letters",
    "xylophones abcdefghijklmnopqrstuvwxyz": "at most 24 letters",
    "xylophones a a:integer": "two properties a",
    "xylophones a:strin": "there is no type 'strin'",
    "xylophones :string": "small letters",
    "xylophones a:": "there is no type ''",
    "xylophones a:integer:unique:unique": "write limits as",
    "xylophones if:string": "a word of Python",
    "xylophones id:integer": "'id': that is taken",
    "xylophones owner:string": "'owner': that is taken",
    "xylophones metadata:string": "'metadata': that is taken",
    "xylophones page:integer": "'page': that is taken",
    "xylophones self:string": "'self': that is taken",
    **{
        f"xylophones {name}:string{more}": f"{name!r}: that is taken"
        for name in ("body", "read_schema", "shown", "filters", "texts", "above")
        for more in ("", " --store redis", " --parent devices")
    },
    "xylophones a:string:0": "nothing lies between 1 and 0",
    "xylophones a:string:0..0": "nothing lies between 0 and 0",
    "xylophones a:string:300": "are of the type text",
    "xylophones a:text:10001": "beyond what a text can be",
    "xylophones a:string:x..y": "write limits as a:string:1..50",
    "xylophones a:integer:5..1": "nothing lies between",
    "xylophones a:integer:1..1": "nothing lies between",
    "xylophones a:integer:1.5": "write limits as",
    "xylophones a:integer:5": "write limits as a:integer:1..50",
    "xylophones a:number:5": "write limits as a:number:1..50",
    "xylophones a:integer:1..9223372036854775808": "beyond what an integer can be",
    "xylophones a:number:nan..1": "write limits as",
    "xylophones a:number:1..inf": "write limits as",
    "xylophones a:number:1..1e16": "beyond what a number can be",
    "xylophones a:string:1..5:6": "what is '6'",
    "xylophones a:date:5": "what is '5'",
    "xylophones a:enum": "name what it can be",
    "xylophones a:enum:new": "name what it can be",
    "xylophones a:enum:new,!": "name what it can be",
    f"xylophones a:enum:new,{'u' * 41}": "each in at most 40 letters",
    "xylophones a:boolean:unique": "cannot be unique",
    "xylophones a:text:unique": "cannot be unique",
    "xylophones a:datetime?:unique": "cannot be unique",
    "xylophones a:reference:nothing": "there is no feature 'nothing'",
    "xylophones a:reference:presence": "there is no feature 'presence' in SQL",
    "xylophones a:reference": "say to what, as a:reference:authors",
    "xylophones a:reference:xylophones": "xylophones cannot refer to xylophones",
    "xylophones a:reference:users": "not for everybody",
    "xylophones a:reference:imports": "not for everybody",
    "xylophones a:reference:devices --open": "whose device would that be",
    "xylophones a:reference:devices --parent todos": "whose device would that be",
    "xylophones a --parent nothing": "there is no feature 'nothing'",
    "xylophones a --parent users": "not for everybody",
    "xylophones a --parent devices --open": "does not go with --open",
    "xylophones a --parent devices --store redis": "does not go with --store redis",
    "xylophones device --parent devices": "'device': that is taken",
    "xylophones a:string:unique --store redis": "nothing in Redis can be unique",
    "xylophones a:reference:devices --store redis": "nothing in Redis can be a reference",
    "xylophones a --store paper": "is not one of 'sql', 'redis'",
    "xylophones " + " ".join(f"a{n}" for n in range(41)): "more than 40 properties",
    "a_very_very_long_feature a_very_very_long_propert": "would have too long a name",
}
FEW = {"devices", "imports", "presence", "todos"} - {f.name for f in FEATURES}
REFUSED = {w: told for w, told in REFUSED.items() if not FEW & set(findall(r"\w+", w))}


def copied(folder):
    """The project, in a folder of its own."""
    (folder / "tests").mkdir(parents=True)
    for name in KNOWN:
        if (ROOT / name).is_dir():
            unlike = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=unlike)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def taken_for_ours(monkeypatch, folder):
    for module in (project, feature, writing):
        monkeypatch.setattr(module, "PROJECT", folder)
        monkeypatch.setattr(module, "PACKAGE", folder / myapp.__name__)
    return folder


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the project, which the command takes for ours."""
    return taken_for_ours(monkeypatch, copied(tmp_path / "copy"))


@pytest.fixture(scope="module")
def one_copy(tmp_path_factory):
    return copied(tmp_path_factory.mktemp("project") / "copy")


@pytest.fixture
def same_copy(one_copy, monkeypatch):
    """The same one each time, where nothing is written."""
    return taken_for_ours(monkeypatch, one_copy)


def contents(folder):
    """All files there, and what is in them."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files}


def asked(app, words):
    return app.test_cli_runner().invoke(args=["new-feature", *split(words)])


def test_a_feature_is_written_in_form(app, copy):
    before = contents(copy)
    done = asked(app, XYLOPHONES)
    assert done.exit_code == 0, done.output
    assert "flask deploy" in done.output
    after = contents(copy)
    package = copy / project.PACKAGE.name
    files = ("__init__.py", "endpoints.py", "models.py", "test_xylophones.py")
    new = {path for path in after if path not in before}
    (migration,) = new - {package / "xylophones" / file for file in files}
    assert migration.match("migrations/versions/*_xylophones.py")
    changed = {path for path in before if after[path] != before[path]}
    edited = {package / "__init__.py", package / "guard.py"}
    assert changed == {*edited, copy / "openapi.json", copy / "README.md"}
    for path in (*new, *edited):
        text = after[path].decode()
        assert format_str(text, mode=Mode()) == text
    flake8 = [sys.executable, "-m", "flake8", *map(str, (*new, *edited))]
    assert subprocess.run(flake8, cwd=copy).returncode == 0
    for file in ("endpoints.py", "models.py"):
        lines = after[package / "xylophones" / file].splitlines()
        assert len(lines) <= len((package / "users" / file).read_text().splitlines())
    again = asked(app, XYLOPHONES)
    assert (again.exit_code, contents(copy)) == (2, after)
    assert "has something of that name" in " ".join(again.output.split())


@pytest.mark.parametrize("words", REFUSED)
def test_what_makes_no_sense_is_told_and_nothing_is_written(app, same_copy, words):
    before = contents(same_copy)
    done = asked(app, words)
    assert done.exit_code == 2
    assert REFUSED[words] in " ".join(done.output.split())
    assert contents(same_copy) == before


@pytest.mark.parametrize("count", range(8))
def test_what_fails_in_the_middle_leaves_nothing_behind(app, copy, monkeypatch, count):
    before = contents(copy)
    copyfile, brought = shutil.copyfile, []

    def until_the_disk_is_full(source, target, **options):
        if copy in Path(target).parents:
            brought.append(target)
            if len(brought) > count:
                target.write_bytes(b"half of")
                raise OSError(ENOSPC, "No space left on device")
        return copyfile(source, target, **options)

    for slow in ("run", "tidy"):  # and not asked for here
        monkeypatch.setattr(writing, slow, lambda *_: b"")
    monkeypatch.setattr(shutil, "copyfile", until_the_disk_is_full)
    done = asked(app, XYLOPHONES)
    assert done.exit_code == 1
    assert "Nothing was written: No space left on device" in done.output
    assert len(brought) == count + 1
    assert contents(copy) == before
    assert not (copy / project.PACKAGE.name / "xylophones").exists()


def test_what_does_not_work_is_not_written(app, copy):
    models = copy / project.PACKAGE.name / "todos" / "models.py"
    models.write_text("nonsense")
    before = contents(copy)
    done = asked(app, XYLOPHONES)
    assert done.exit_code == 1
    assert "It does not work, so nothing was written: NameError" in done.output
    assert contents(copy) == before


@pytest.mark.parametrize("file", ["README.md", "openapi.json", "migrations/versions"])
def test_what_is_read_only_is_named_and_nothing_is_written(
    app, same_copy, monkeypatch, file
):
    before = contents(same_copy)
    # Root may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, _: path != same_copy / file)
    done = asked(app, XYLOPHONES)
    assert done.exit_code == 1
    assert done.output == f"Error: Nothing was written: {file} is read-only.\n"
    assert contents(same_copy) == before


@pytest.mark.parametrize(
    "migration, told",
    [
        ("revision = 'a'\ndown_revision = 'nothing'", "nothing"),
        ("revision = ", "invalid syntax (wrong.py, line 1)"),
    ],
)
def test_a_migration_that_is_wrong_is_told(app, copy, monkeypatch, migration, told):
    monkeypatch.setattr(writing, "MIGRATIONS", str(copy / "migrations"))
    (copy / "migrations" / "versions" / "wrong.py").write_text(migration)
    done = asked(app, XYLOPHONES)
    assert done.exit_code == 1
    assert done.output.startswith("Error: A migration is wrong: ")
    assert told in done.output and "/" not in done.output
    assert not (copy / project.PACKAGE.name / "xylophones").exists()


def test_whoever_ends_the_command_leaves_nothing_behind(
    app, copy, monkeypatch, tmp_path
):
    before = contents(copy)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    end = lambda *_: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    monkeypatch.setattr(writing, "run", end)
    done = asked(app, XYLOPHONES)
    assert done.exit_code == 128 + signal.SIGTERM
    assert contents(copy) == before
    assert not any((tmp_path / "tmp").iterdir())
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_what_python_compiled_is_no_feature(app, copy, monkeypatch):
    monkeypatch.setattr(writing, "run", lambda *_: b"")
    compiled = copy / project.PACKAGE.name / "xylophones" / "__pycache__" / "a.pyc"
    compiled.parent.mkdir(parents=True)
    compiled.touch()
    done = asked(app, XYLOPHONES)
    assert done.exit_code == 0, done.output
    assert (compiled.parents[1] / "models.py").exists()


# What stands in it


def made(app, words):
    """What the command would write, before it is put into form: {name of the file: text};
    nothing where it names a feature that is not there, or one that is there already."""
    name, *words = split(words)
    options = {"store": "sql", "shared": False, "parent": None, "singular": None}
    fields = []
    for word in words:
        if word.startswith("--"):
            option, _, value = word[2:].partition("=")
            options["shared" if option == "open" else option] = value or True
        else:
            fields.append(word)
    with app.app_context():
        features = {feature.name for feature in FEATURES}
        there = features | set(map(words.in_code, project.all_models()))
        asked_for = set(findall(r"(?:parent=|reference:)(\w+)", " ".join(words)))
        one = options["singular"] or words.singular_of(name)
        if not features >= asked_for or {name, one} & there:
            return {}
        slice = feature.Slice(name, fields, features=features, **options)
        files = writing.written(slice, "abc")
    return {
        "migration.py" if "versions" in path else Path(path).name: text
        for path, text in files.items()
    }


LONG = "abcdefghij_klmnopqrstuvw"  # as long as a name may be
EXTREME = [
    f"{LONG} " + " ".join(f"a{n}:string?" for n in range(40)),
    f"{LONG} {LONG}:text:200..500 --open",
    f"{LONG} {LONG}:boolean {LONG[:-1]}:number:0..1e15 --store=redis",
    f"{LONG} {LONG[:-1]}:enum:{'v' * 40},{'w' * 40}? b:enum:a,b",
    f"{LONG} " + " ".join(f"a{n}:enum:{'v' * 40},{'w' * 40}" for n in range(40)),
    "essays about:text:9999..10000 code:string:200..255:unique name:string:0..1",
    f"{LONG[:10]} {LONG}:string:255:unique --parent=devices",
    "maintenance_appointments note:text --parent=devices",
    "pairs one:reference:devices two:reference:devices",
]
ODD = [
    "favourites device:reference:devices",
    "wishes device:reference:devices?",
    "visits device:reference:devices at:datetime",
    "crew name:string:64 --parent=devices",
    "other name --parent=devices --singular=body",
    *("crew name", "other name", "pytests name", "bodies name", "lists name"),
    *("requests name", "changes name", "strangers name", "urls name"),
    *("one_boats a", "mades a", "puts a", "seconds a"),
    *("json a", "apps a", "verbs a"),
    *("news a", "series a", "one_crew a --singular=crew"),
    "thermostats a",
]


@pytest.mark.parametrize("words", EXTREME + ODD)
def test_what_is_written_binds_no_name_twice(app, words):
    for name, text in made(app, words).items():
        tree = ast.parse(text)
        names = [name for node in tree.body for name in bound(node)]
        assert len(names) == len(set(names))
        if name.startswith("test_"):
            assert not set(names) & set(dir(builtins))
            for function in tree.body:
                if isinstance(function, ast.FunctionDef):
                    given = {each.arg for each in function.args.args}
                    inside = {n for node in function.body for n in bound(node)}
                    assert not given & inside


def test_what_is_written_is_in_form_however_long_its_words(app, tmp_path):
    (tmp_path / ".flake8").write_text((ROOT / ".flake8").read_text())
    for number, words in enumerate(EXTREME):
        (tmp_path / f"{number}").mkdir()
        for name, text in made(app, words).items():
            text = format_str(text, mode=Mode())
            (tmp_path / f"{number}" / name).write_text(text)
    flake8 = [sys.executable, "-m", "flake8"]
    done = subprocess.run(flake8, cwd=tmp_path, capture_output=True, text=True)
    assert not done.stdout


def bound(node):
    """The names that a statement binds, where it stands."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [each.asname or each.name for each in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [each.id for each in targets if isinstance(each, ast.Name)]


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
def test_one_of_them_is_called_as_english_has_it(plural, singular):
    name = words.singular_of(plural)
    assert words.one(words.in_words(name)) == singular


@pytest.mark.parametrize(
    "words, code",
    [
        ("title?:string", 'optional(text(1, 255, "Title.", "Some title"))'),
        ("title:string?:80", 'optional(text(1, 80, "Title.", "Some title"))'),
        ("code:string:3..8", 'text(3, 8, "Code.", "ABCDEFGH")'),
        ("isbn:string:20", 'text(1, 20, "ISBN.", "Some ISBN")'),
        ("about:text:200..500", 'text(200, 500, "About.", "x" * 200)'),
        ("is_open:boolean", 'flag("Whether it is open.")'),
        ("has_cover:boolean?", 'flag("Whether it has cover.", default=False)'),
        ("lent:boolean", 'flag("Whether it is lent.")'),
        ("state:enum:new, used", 'choice("State.", "new", "used")'),
    ],
)
def test_a_property_is_described_in_words_of_its_own(words, code):
    assert field.parse(words, ()).schema == code


@pytest.mark.parametrize("before", ["()", "('a',)", "('a', 'b')", "(\n    'a',\n)"])
def test_the_first_of_a_tuple_makes_one_as_the_others_do(before):
    made = {}
    exec(writing.permitted(f"OWNED = {before}\n", "c"), made)
    assert made["OWNED"] == (*eval(before), "c")
