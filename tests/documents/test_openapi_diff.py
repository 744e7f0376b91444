"""The comparison of OpenAPI documents: it finds each breaking change, and no other."""

import json
import os
import re
import subprocess
import sys
from copy import deepcopy

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myapp.ops.openapi_diff.verdict import (
    breaking_changes,
    judge,
    may_break,
    read_document,
)
from support import ROOT
from support.openapi_baseline import main

WRITTEN = (ROOT / "openapi.json").read_bytes()
TODAY = json.loads(WRITTEN)  # read only
PLACES = {
    "LIST": "paths /api/v1/devices get",
    "POST": "paths /api/v1/devices post",
    "GET": "paths /api/v1/devices/{id} get",
    "PATCH": "paths /api/v1/devices/{id} patch",
    "WRITE": "components schemas DeviceWrite",
}


def edit(document, line):
    """Return a document after the edit that a line of openapi_changes.txt describes."""
    left, _, value = line.partition(" = ")
    verb, *path = left.split()
    path = " ".join(PLACES.get(step, step) for step in path).split()
    if verb == "move":
        *path, _arrow, new = path
    result = part = deepcopy(document)
    for step in path[:-1]:
        if isinstance(part, list):  # of parameters
            part = next(each for each in part if each.get("name") == step)
        else:
            part = part[step]
    if path[-1] == "+":
        part.append(json.loads(value))
    elif verb == "set":
        part[path[-1]] = json.loads(value)
    else:
        old = part.pop(path[-1])
        if verb == "move":
            part[new] = old
    return result


def assert_breaks(breaks, parts):
    """Each break has one of these parts, and each part is in a break."""
    assert not [each for each in breaks if not any(part in each for part in parts)]
    assert not [part for part in parts if not any(part in each for each in breaks)]


def cases(name, start="\n"):
    """Return the cases in a file; `start` is a pattern before each of them."""
    lines = (ROOT / f"tests/documents/{name}.txt").read_text().splitlines()
    return re.split(start, "\n".join(line for line in lines if line[0] != "#"))


@pytest.mark.parametrize("change", cases("openapi_changes", r"\n(?! |and )"))
def test_an_edit_of_our_document_is_judged_in_both_directions(change):
    document, parts = TODAY, {">": [], "<": []}
    for line in map(str.strip, change.splitlines()):
        if line[0] in parts:
            parts[line[0]].append(line[2:])
        else:
            document = edit(document, line.removeprefix("and "))
    assert_breaks(breaking_changes(TODAY, document), parts[">"])
    assert_breaks(breaking_changes(document, TODAY), parts["<"])


# Schemas, as a request and as a response


def holding(schema, version="1.0.0", **components):
    """Return a document with a request and a response that both have this schema."""
    content = {"application/json": {"schema": schema}}
    body = {"required": True, "content": content}
    responses = {"200": {"description": "It.", "content": content}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "It", "version": version},
        "paths": {"/it": {"post": {"requestBody": body, "responses": responses}}},
        "components": {"schemas": components},
    }


def broken_parts(old, new):
    """Return which parts of the operation break: "sent", "got", both or none."""
    places = [each.partition(" (")[0] for each in breaking_changes(old, new)]
    return {
        {"POST /it, body": "sent", "POST /it, answer 200": "got"}[p] for p in places
    }


A, INTEGER = {"type": "string"}, {"type": "integer"}
REF = {"$ref": "#/components/schemas/A"}
CHAIN = {"A": A, "B": REF, "C~/D": {"$ref": "#/components/schemas/B"}}
BROKEN_BY = {"narrower": {"sent"}, "both": {"sent", "got"}, "none": set()}


@pytest.mark.parametrize("case", cases("schema_changes"))
def test_a_schema_is_judged_in_requests_and_responses(case):
    old, verdict, new = case.split(" | ")
    old, new = (holding(json.loads(text), **CHAIN) for text in (old, new))
    assert broken_parts(old, new) == BROKEN_BY.get(verdict, {verdict})
    if verdict == "narrower":
        assert broken_parts(new, old) == {"got"}


@pytest.mark.parametrize(
    "path", ["default", "200 headers title", "200 content example"]
)
def test_a_name_in_a_webhook_is_not_taken_for_a_description(path):
    was = {"200": {"headers": {"title": {}}, "content": {"example": {}}}, "default": {}}
    old = holding(A) | {"webhooks": {"done": {"post": {"responses": was}}}}
    new = edit(old, f'set webhooks done post responses {path} = {{"required": true}}')
    assert breaking_changes(old, new) == [
        "the document: `webhooks` has changed, which is not judged."
    ]


def tree(name):
    """Return a recursive schema."""
    parts = {"type": "array", "items": REF}
    return {"type": "object", "properties": {"name": name, "parts": parts}}


def test_a_recursive_schema_is_compared_completely():
    old, shorter = holding(REF, A=tree(A)), {**A, "maxLength": 9}
    assert broken_parts(old, holding(REF, A=tree(A))) == set()
    assert broken_parts(old, holding(REF, A=tree(shorter))) == {"sent"}
    once = tree(A)  # the same, unrolled once
    once["properties"]["parts"]["items"] = tree(A)
    assert broken_parts(old, holding(once, A=tree(A))) == set()
    assert broken_parts(old, holding(once, A=tree(shorter))) == {"sent"}
    within = {"anyOf": [tree(A), {"not": REF}]}, {
        "anyOf": [tree(shorter), {"not": REF}]
    }
    old, new = (holding(REF, A=schema) for schema in within)
    assert broken_parts(old, deepcopy(old)) == set()
    assert broken_parts(old, new) == {"sent", "got"}


@pytest.mark.parametrize(
    "reference, words",
    [
        ("#/components/schemas/B", "leads nowhere"),
        ("#/paths/0/x", "leads nowhere"),
        ("other.json#/A", "leads out of it"),
        ("#/components/schemas/A", "leads to itself"),
    ],
)
def test_a_dangling_ref_is_an_error(reference, words):
    looped = holding(REF, A={"$ref": reference})
    for pair in ((looped, holding(A)), (holding(A), looped)):
        with pytest.raises(ValueError, match=words):
            breaking_changes(*pair)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_an_invalid_document_is_compared_or_refused(data):
    """Any malformed part of a document raises ValueError and nothing else."""
    sound, document = holding(REF, A=tree(A)), deepcopy(holding(REF, A=tree(A)))
    part, nonsense = document, st.sampled_from([None, 0, "x", [], {}, [1], {"$ref": 1}])
    while isinstance(part, (dict, list)) and part:
        keys = part.keys() if isinstance(part, dict) else range(len(part))
        above, key = part, data.draw(st.sampled_from(sorted(keys)))
        part = above[key]
        if data.draw(st.booleans()):
            break
    above[key] = data.draw(nonsense)
    for pair in ((document, sound), (sound, document)):
        try:
            breaking_changes(*pair)
        except ValueError as error:
            assert str(error).startswith("is not sound: ")


KINDS = st.sampled_from(["string", "integer", "object", "array", "null", "number"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
simple = {
    "type": KINDS | st.lists(KINDS, min_size=1, max_size=3, unique=True),
    **dict.fromkeys(
        ("maxLength", "minLength", "minItems", "maxProperties"), st.integers(0, 2)
    ),
    **dict.fromkeys(("maximum", "exclusiveMinimum"), st.integers(-2, 2)),
    "multipleOf": st.integers(1, 2),
    "uniqueItems": st.booleans(),
    "pattern": st.sampled_from("ab"),
    "enum": st.lists(values, min_size=1, max_size=2),
    "required": st.lists(st.sampled_from("ab"), unique=True),
}
schemas = st.recursive(
    st.fixed_dictionaries({}, optional=simple) | st.booleans(),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            **simple,
            "items": inner,
            "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
            "additionalProperties": inner,
            "patternProperties": st.dictionaries(st.just("a"), inner, max_size=1),
        },
    ),
    max_leaves=3,
)


@settings(max_examples=200, deadline=None)
@given(schemas, schemas, st.lists(values, min_size=1))
def test_a_change_without_a_finding_accepts_every_former_value(old, new, sent):
    taken, takes = (jsonschema_rs.Draft202012Validator(schema) for schema in (old, new))
    if "sent" not in broken_parts(holding(old), holding(new)):
        assert not [
            each for each in sent if taken.is_valid(each) > takes.is_valid(each)
        ]


# Versions


@pytest.mark.parametrize(
    "was, now, may",
    [
        *[("0.1.0", "0.1.0", False), ("0.1.0", "0.1.9", False)],
        *[("0.1.9", "0.2.0", True), ("0.9.0", "0.10.0", True)],
        *[("0.10.0", "0.9.0", False), ("0.9.0", "1.0.0", True)],
        *[("1.0.0", "1.9.0", False), ("1.9.9", "2.0.0", True)],
        *[("9.0.0", "10.0.0-rc.1", True), ("2.0.0", "1.0.0", False)],
        *[("1.0.0", "0.9.0", False), ("1.2.0", "1.2.0+build.7", False)],
    ],
)
def test_a_version_may_break_if_its_first_number_that_is_not_0_rises(was, now, may):
    old, new = holding(A, was), holding(INTEGER, now)
    assert may_break(old, new) is may
    lines, fine = judge(old, new)
    assert fine is may
    assert len(lines) == 3  # both directions, and the verdict


def test_the_verdict_names_the_required_version():
    def verdict(was, now, schema=INTEGER):
        return judge(holding(A, was), holding(schema, now))[0][-1]

    refused = "Version {0} may not break {0}: it must be {1}."
    assert verdict("1.0.0", "1.0.0") == refused.format("1.0.0", "2.0.0")
    assert verdict("0.3.2", "0.3.2") == refused.format("0.3.2", "0.4.0")
    assert verdict("0.3.2", "0.4.0") == "The step from 0.3.2 to 0.4.0 allows that."
    same = "Nothing that a client of 0.3.2 relies on has changed."
    assert verdict("0.3.2", "0.3.2", A) == same


@pytest.mark.parametrize(
    "data, words",
    [
        *[(b"", "is empty"), (b" \n", "is empty"), (b"{", "is not JSON")],
        *[(b"\xff", "is not JSON"), (b"[" * 5000, "is not JSON")],
        *[
            (data, "is no OpenAPI 3.1 document")
            for data in (b"[]", b'{"openapi": "3.0.3"}')
        ],
        (b'{"openapi": "3.1.0"}', "has no version like 1.2.3, but null"),
        (b'{"openapi": "3.1.0", "info": []}', "has no version"),
        (b'{"openapi": "3.1.0", "info": {"version": "two"}}', 'but "two"'),
    ],
)
def test_an_invalid_document_is_an_error_of_one_line(data, words):
    with pytest.raises(ValueError, match=words) as error:
        read_document(data)
    assert "\n" not in str(error.value)


# The command


@pytest.fixture
def flask(project_app):
    """Run `flask openapi --against -` with this former document."""
    run = project_app.test_cli_runner().invoke
    return lambda text: run(args=["openapi", "--against", "-"], input=text)


def test_the_document_is_the_same_whatever_this_machine_is_set_to():
    """But for API_PREFIX, which is part of each address."""
    hashing = {"PYTHONHASHSEED": "7", "PYTHONUTF8": "0", "LC_ALL": "C"}
    settings = {"MYAPP_USE_RATE_LIMITS": "1", "MYAPP_REQUIRE_IF_MATCH": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "flask", "openapi"],
        cwd=ROOT,
        env={**os.environ, **hashing, **settings, "DATABASE_URL": "postgresql://h/d"},
        capture_output=True,
        check=True,
    )
    assert done.stdout == WRITTEN


FORMER = edit(TODAY, 'set LIST parameters + = {"name": "floor", "in": "query"}')
GONE = "GET /api/v1/devices, query parameter floor: is gone, and clients send it.\n"


@pytest.mark.parametrize(
    "former, code, words",
    [
        (TODAY, 0, "Nothing that a client of 0.1.0 relies on has changed.\n"),
        (FORMER, 1, GONE + "Version 0.1.0 may not break 0.1.0: it must be 0.2.0.\n"),
        (
            edit(FORMER, 'set info version = "0.0.9"'),
            0,
            GONE + "The step from 0.0.9 to 0.1.0 allows that.\n",
        ),
        ([], 1, "Error: The former document is no OpenAPI 3.1 document.\n"),
        (
            holding(A) | {"paths": []},
            1,
            "Error: The former document is not sound: AttributeError: "
            "'list' object has no attribute 'items'.\n",
        ),
    ],
    ids=["the same", "broken", "allowed", "none", "malformed"],
)
def test_a_former_document_is_compared_with_that_of_today(flask, former, code, words):
    done = flask(json.dumps(former))
    assert (done.exit_code, done.stdout, done.stderr) == (code, "", words)


# The checkout, compared with a former version


class Clone:
    """A repository of git with a document, and without the settings of a user."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.git("init", "-q")

    def git(self, *args):
        who = ["-c", "user.name=author", "-c", "user.email=author@example.com"]
        result = subprocess.run(
            ["git", *who, *args],
            cwd=self.folder,
            check=True,
            capture_output=True,
            text=True,
        )
        return result.stdout.strip()

    def write(self, document):
        (self.folder / "openapi.json").write_text(json.dumps(document))

    def commit(self, document=None, tag=None):
        """Commit a document, or nothing; return the revision."""
        if document:
            self.write(document)
            self.git("add", "openapi.json")
        self.git("commit", "-qm", "A step", "--allow-empty")
        if tag:
            self.git("tag", tag)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def clone(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return Clone(tmp_path / "ours")


@pytest.fixture
def compare(clone, capsys):
    """Return a function that compares: its exit code or its error, and its output."""

    def compare(*revision):
        try:
            code = main(clone.folder, *revision)
        except SystemExit as end:
            code = end.code
        return code, capsys.readouterr().out

    return compare


ONE_0, BROKEN, TWO_0 = holding(A), holding(INTEGER, "1.1.0"), holding(INTEGER, "2.0.0")
WIDER = edit(ONE_0, 'set paths /rooms = {"get": {"responses": {}}}')
NO_FORMER = "There is no former openapi.json: nothing can break.\n"


@pytest.mark.parametrize(
    "history, code, words",
    [
        ([ONE_0, BROKEN, None], 1, "POST /it, body (application/json): type was"),
        ([ONE_0, WIDER], None, "Nothing that a client of 1.0.0 relies on"),
        ([ONE_0, TWO_0], None, "The step from 1.0.0 to 2.0.0 allows that."),
        ([ONE_0], None, NO_FORMER),
    ],
    ids=["broken", "wider", "a new version", "the first"],
)
def test_the_last_change_is_compared(clone, compare, history, code, words):
    for document in history:
        clone.commit(document)
    got, output = compare()
    assert got == code and words in output


def test_the_newest_release_counts_not_the_commits_since(clone, compare):
    clone.commit(holding(A, "0.9.0"), tag="v0.9.0")
    clone.commit(ONE_0, tag="v0.10.0")
    clone.commit(holding(INTEGER), tag="vendored")
    clone.commit(holding({"type": "number"}), tag="v0.10.0-rc.1")
    code, output = compare()
    assert code == 1 and "openapi.json, beside that of v0.10.0:\n" in output


def test_a_release_elsewhere_or_without_a_document_does_not_count(clone, compare):
    first = clone.commit(ONE_0)
    clone.commit(TWO_0, tag="v2.0.0")
    clone.git("checkout", "-q", "--orphan", "other")
    clone.git("rm", "-qrf", ".")
    clone.commit(tag="v0.1.0")
    clone.git("cherry-pick", first)
    head = clone.commit(BROKEN)
    code, output = compare()
    assert code == 1 and f"beside that of {head}^:" in output


def test_uncommitted_changes_are_compared_with_the_last_commit(clone, compare):
    clone.commit(ONE_0)
    clone.commit(TWO_0)
    clone.write(holding(A, "2.1.0"))
    code, output = compare()
    assert code == 1 and "beside that of HEAD:" in output
    (clone.folder / "openapi.json").write_text("{")
    assert "openapi.json, beside that of HEAD: is not JSON" in compare()[0]


def test_a_revision_that_is_named_counts(clone, compare):
    first = clone.commit(ONE_0, tag="v1.0.0")
    second = clone.commit(BROKEN, tag="v1.1.0")
    for revision in ((), (second,), ("",), ("0" * 40,)):  # GitHub: a new branch
        assert compare(*revision)[0] is None
    assert compare(first)[0] == 1
    assert compare("f" * 40)[0] == f"{'f' * 40} is not in this clone."


@pytest.mark.parametrize("given", [[], ["HEAD"]])
def test_without_a_former_version_nothing_can_break(clone, compare, given):
    clone.commit()
    clone.write(ONE_0)
    assert compare(*given) == (None, NO_FORMER)


def test_without_a_repository_nothing_is_compared(tmp_path, capsys):
    main(tmp_path)
    assert "there is no former state." in capsys.readouterr().out
    (tmp_path / ".git").mkdir()
    with pytest.raises(SystemExit, match="git cannot work here"):
        main(tmp_path)


def test_a_shallow_clone_is_not_taken_for_a_complete_one(clone, compare, tmp_path):
    first = clone.commit(ONE_0, tag="v1.0.0")
    clone.commit(BROKEN)
    address = f"file://{clone.folder}"
    clone.git("clone", "-q", "--depth", "1", address, str(tmp_path / "shallow"))
    clone.folder = tmp_path / "shallow"
    hint = " It is shallow: git fetch --unshallow --tags"
    assert compare()[0] == f"There is no former state in this clone.{hint}"
    assert compare(first)[0] == f"{first} is not in this clone.{hint}"
    clone.git("fetch", "-q", "--unshallow", "--tags")
    assert compare(first)[0] == 1
    code, output = compare()
    assert code == 1 and "beside that of v1.0.0:" in output


def test_the_script_runs_by_itself():
    script = [sys.executable, "tests/support/openapi_baseline.py", "f" * 40]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("f" * 40 + " is not in this clone.")
