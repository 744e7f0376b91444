"""`flask new-feature`: what it writes, what it refuses, and that it does all or nothing.

The features that it writes are tried in tests/own.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from re import findall

import pytest
from black import Mode, format_str

from myapp import FEATURES, scaffold

ROOT = Path(__file__).parents[1]
KNOWN = (
    *("default_config.py", "openapi.json", "conftest.py", "README.md"),
    *(".importlinter", ".flake8", "tests/test_readme.py"),
    *("migrations", scaffold.PACKAGE.name),
)
XYLOPHONES = "xylophones name:string:120 keys:integer:1..5000 maker:string? built:date"
REFUSED = {
    "xylophones": "What does a xylophone have?",
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
    "gadgets a --singular device": "device is what a thing of devices is called",
    "abcdefghijklmnopqrstuvwxyz a": "at most 24 letters",
    "xylophones abcdefghijklmnopqrstuvwxyz": "at most 24 letters",
    "xylophones a a:integer": "two properties a",
    "xylophones a:strin": "there is no type 'strin'",
    "xylophones :string": "small letters",
    "xylophones if:string": "a word of Python",
    "xylophones id:integer": "'id': that is taken",
    "xylophones owner:string": "'owner': that is taken",
    "xylophones metadata:string": "'metadata': that is taken",
    "xylophones page:integer": "'page': that is taken",
    "xylophones self:string": "'self': that is taken",
    "xylophones a:string:0": "nothing lies between 1 and 0",
    "xylophones a:string:300": "are of the type text",
    "xylophones a:text:10001": "beyond what a text can be",
    "xylophones a:string:x..y": "write limits as a:string:1..50",
    "xylophones a:integer:5..1": "nothing lies between",
    "xylophones a:integer:1..1": "nothing lies between",
    "xylophones a:integer:1.5": "write limits as",
    "xylophones a:integer:1..9223372036854775808": "beyond what a integer can be",
    "xylophones a:number:nan..1": "write limits as",
    "xylophones a:number:1..inf": "write limits as",
    "xylophones a:number:1e16": "beyond what a number can be",
    "xylophones a:string:1..5:6": "what is '6'",
    "xylophones a:date:5": "what is '5'",
    "xylophones a:enum": "name what it can be",
    "xylophones a:enum:new": "name what it can be",
    'xylophones a:enum:new,"': "name what it can be",
    "xylophones a:boolean:unique": "cannot be unique",
    "xylophones a:text:unique": "cannot be unique",
    "xylophones a:datetime?:unique": "cannot be unique",
    "xylophones a:reference:nothing": "there is no feature 'nothing'",
    "xylophones a:reference:presence": "there is no feature 'presence' in SQL",
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
    monkeypatch.setattr(scaffold, "PROJECT", folder)
    monkeypatch.setattr(scaffold, "PACKAGE", folder / scaffold.PACKAGE.name)
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
    return app.test_cli_runner().invoke(args=["new-feature", *words.split()])


def test_a_feature_is_written_in_form(app, copy):
    before = contents(copy)
    done = asked(app, XYLOPHONES)
    assert done.exit_code == 0, done.output
    assert "flask deploy" in done.output
    after = contents(copy)
    package = copy / scaffold.PACKAGE.name
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
                raise OSError("No space left on device")
        return copyfile(source, target, **options)

    monkeypatch.setattr(scaffold, "run", lambda *_: b"")  # slow, and not asked for here
    monkeypatch.setattr(shutil, "copyfile", until_the_disk_is_full)
    done = asked(app, XYLOPHONES)
    assert isinstance(done.exception, OSError)
    assert len(brought) == count + 1
    assert contents(copy) == before
    assert not (copy / scaffold.PACKAGE.name / "xylophones").exists()


def test_what_does_not_work_is_not_written(app, copy):
    models = copy / scaffold.PACKAGE.name / "todos" / "models.py"
    models.write_text("nonsense")
    before = contents(copy)
    done = asked(app, XYLOPHONES)
    assert done.exit_code == 1
    assert "It does not work, so nothing was written: NameError" in done.output
    assert contents(copy) == before


@pytest.mark.parametrize("before", ["()", "('a',)", "('a', 'b')", "(\n    'a',\n)"])
def test_the_first_of_a_tuple_makes_one_as_the_others_do(before):
    made = {}
    exec(scaffold.permitted(f"OWNED = {before}\n", "c"), made)
    assert made["OWNED"] == (*eval(before), "c")
