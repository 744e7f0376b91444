"""`flask empty-house`: the house without the registry, for whoever starts with nothing.

What stays is `status`, `auth`, `account`, `users`, `roles`, and all that features share.
What goes or changes is said in empty/edits.py; the files in empty/files take the place of
ours. A test goes where it speaks of what is gone, or uses something that does; so does
what only such tests used.
"""

import ast
import glob
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click
from flask import current_app
from flask.cli import with_appcontext

from myapp.core.openapi.document import TITLE
from myapp.ops.doctor.checks.common import sqlite_file

from . import repository
from .repository import all_or_nothing, git, read, replaced, tidy

STAY = {"status", "auth", "account", "users", "roles"}


@click.command("empty-house")
@with_appcontext
def empty_house():
    """Leave what every API needs, and nothing of the device registry.

    Nothing may wait to be committed. What is not in git stays as it is.
    """
    there = {feature.name for feature in current_app.extensions["features"]}
    if more := there - STAY - {*plan(repository.ROOT)["SLICES"]}:
        told = ", ".join(sorted(more))
        raise click.ClickException(f"It is for the start, and there is {told} already.")
    empty(repository.ROOT)
    click.echo(
        f"The house is empty:{git(repository.ROOT, 'diff', '--shortstat', 'HEAD')}"
    )
    click.echo("See it with: git diff --stat HEAD; take it back: git reset --hard")
    click.echo("A database that was made before has other tables: begin a new one.")
    for path in databases(current_app):
        click.echo(f"Yours to move away, where nothing runs on it: {path}")
    click.echo("Next: make test, make lint, then git commit.")


def databases(app):
    """The files of SQLite's that there are: ours, and what was ours under another name."""
    found = {*Path(app.instance_path).glob("*.sqlite3*")}
    if file := sqlite_file(app.config):
        found |= {*Path(file).parent.glob(glob.escape(Path(file).name) + "*")}
    return sorted(found)


def plan(root):
    """What goes and what changes in the clone at `root`, {name: value}."""
    return runpy.run_path(str(root / "empty/edits.py"))


def empty(root):
    """Empty the clone at `root`. Raises ClickException; then, nothing has changed."""
    said = plan(root)
    with all_or_nothing(root):
        edit(root, said["EDITS"])
        for line in said["LINES"]:
            cut_lines(root, *line)
        for path in said["GONE"]:
            remove(root / path)
        shutil.copytree(root / "empty/files", root, dirs_exist_ok=True)
        shutil.rmtree(root / "empty")
        git(root, "add", "--all")
        files = [root / file for file in git(root, "ls-files").splitlines()]
        for path in files:
            if (text := read(path)) and TITLE in text:
                path.write_bytes(replaced(text, {TITLE: said["TITLE"]}).encode())
        tests = [path for path in files if is_test(root, path)]
        forget_tests(tests, re.compile(said["SPEAKS"], re.IGNORECASE))
        tidy(root)
        for name, command in said["MADE"].items():
            (root / name).write_bytes(made(root, command))


def edit(root, edits):
    """Replace texts in files: `{path: [(before, after), ...]}`. Each must be there once.
    It may be a pattern; what comes after it is then as for `re.sub`."""
    for name, pairs in edits.items():
        text = read(root / name)
        for before, after in pairs:
            if isinstance(before, re.Pattern):
                changed, count = before.subn(after, text)
            else:
                changed, count = text.replace(before, after), text.count(before)
            if count != 1:
                raise click.ClickException(
                    f"{name} has this {count} times, not once: {before!r}"
                )
            text = changed
        (root / name).write_bytes(text.encode())


def cut_lines(root, name, pattern):
    """Cut the lines of a file that fit; there must be some."""
    lines = read(root / name).splitlines(keepends=True)
    left = [line for line in lines if not re.search(pattern, line)]
    if left == lines:
        raise click.ClickException(f"{name} has no line that fits {pattern!r}")
    (root / name).write_bytes("".join(left).encode())


def remove(path):
    if not path.exists():
        raise click.ClickException(f"{path} is not there to be removed.")
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def is_test(root, path):
    parts = path.relative_to(root).parts
    return path.suffix == ".py" and (
        parts[0] == "tests" or path.name.startswith(("test_", "conftest"))
    )


def made(root, command):
    """What a command of Python's prints in the clone. Raises ClickException."""
    with tempfile.TemporaryDirectory() as instance:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=root,
            env={**os.environ, "INSTANCE_PATH": instance},
            capture_output=True,
        )
    if done.returncode:
        raise click.ClickException(f"{command}: {done.stderr.decode()}")
    return done.stdout


# Tests


class Piece:
    """A stretch of Python: the names that it has `used`, and all its `texts`."""

    def __init__(self, nodes, without=()):
        self.first, self.last = nodes[0], nodes[-1]
        self.used, self.texts, given = set(), set(), set()
        waiting = list(nodes)
        while waiting:
            node = waiting.pop()
            below = list(ast.iter_child_nodes(node))
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                self.texts.add(node.name)
                if ast.get_docstring(node) is not None:  # it is for people
                    below.remove(node.body[0])
            elif isinstance(node, ast.Name):
                (given if isinstance(node.ctx, ast.Store) else self.used).add(node.id)
            elif isinstance(node, ast.arg):
                given.add(node.arg)
            elif isinstance(node, ast.Attribute):
                self.texts.add(node.attr)
            elif isinstance(node, ast.keyword):
                self.texts.add(node.arg or "")
            elif isinstance(node, ast.Constant):
                self.texts.add(str(node.value))
            waiting += [child for child in below if child not in without]
        self.asked = {n for n in self.texts if n.isidentifier()}  # getfixturevalue
        self.read = self.used - given  # what stands elsewhere in the file
        self.texts |= self.used | given
        self.used |= given - self.bound(nodes[0])

    @staticmethod
    def bound(node):
        if isinstance(node, ast.Import | ast.ImportFrom):
            return {name_of(alias) for alias in node.names}
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            return {node.name}
        if isinstance(node, ast.Assign):
            names = (n for target in node.targets for n in ast.walk(target))
            return {n.id for n in names if isinstance(n, ast.Name)}
        return set()

    def goes(self, speaks, away, fixtures):
        named = self.used & away or self.asked & fixtures
        return bool(named) or any(map(speaks.search, self.texts))


class Part(Piece):
    """What stands at the top of a file: a function, a value, an import. A list or a
    dictionary may lose `elements`, and stay."""

    def __init__(self, node):
        lists = list(self.lists(node))
        each = [pair for found in lists for pair in self.pairs(found)]
        super().__init__([node], [inner for pair in each for inner in pair])
        self.node = node
        self.elements = {
            id(found): [Piece(pair) for pair in self.pairs(found)] for found in lists
        }
        self.imported = isinstance(node, ast.Import | ast.ImportFrom)
        self.names = self.bound(node)

    @staticmethod
    def lists(node):
        """What it lists, where that may be shorter."""
        kinds = ast.List | ast.Set | ast.Dict
        if isinstance(node, ast.Assign) and isinstance(node.value, kinds):
            yield node.value
        for call in getattr(node, "decorator_list", ()):
            if isinstance(call, ast.Call) and "parametrize" in ast.unparse(call.func):
                yield from (given for given in call.args if isinstance(given, kinds))

    @staticmethod
    def pairs(found):
        if isinstance(found, ast.Dict):
            return [
                [key or value, value] for key, value in zip(found.keys, found.values)
            ]
        return [[element] for element in found.elts]

    @property
    def is_fixture(self):
        return self.decorated("fixture")

    def decorated(self, word):
        decorators = getattr(self.node, "decorator_list", ())
        return any(word in ast.unparse(each) for each in decorators)

    @property
    def is_test(self):
        return not self.imported and any(
            n.lower().startswith("test") for n in self.names
        )


class Tests:
    """A file of tests: its parts, the names of those that go, and what else is cut."""

    def __init__(self, path):
        self.path, self.text = path, read(path)
        self.parts = [Part(node) for node in ast.parse(self.text).body]
        self.gone, self.cut = set(), []
        self.asked_for = {n for p in self.parts if p.is_fixture for n in p.names}
        self.fixtures = path.name == "conftest.py"

    def staying(self):
        return [p for p in self.parts if not (p.names and p.names <= self.gone)]

    def used(self, but=None, names="used"):
        """What all that stays uses, but for one part, and for imports."""
        found = set()
        for part in self.staying():
            if part is not but and not part.imported:
                elements = [e for each in part.elements.values() for e in each]
                for piece in [part, *(e for e in elements if e not in self.cut)]:
                    found |= getattr(piece, names)
                    found |= piece.asked if names == "used" else set()
        return found

    def lose(self, speaks, away, fixtures, origins):
        """Mark what speaks of what is gone, or uses it; returns how much is marked."""
        for part in self.parts:
            if part.imported:
                module = getattr(part.node, "module", None) or ""
                for alias in part.node.names:
                    lost = alias.name in origins.get(module, ())
                    if lost or speaks.search(f"{module}.{alias.name}"):
                        self.gone.add(name_of(alias))
                continue
            goes = part.goes(speaks, away, fixtures)
            for elements in part.elements.values():
                lost = [e for e in elements if e.goes(speaks, away, fixtures)]
                self.cut += [e for e in lost if e not in self.cut]
                goes = goes or bool(lost) and len(lost) == len(elements)
            if goes:
                self.gone |= part.names
        return len(self.gone) + len(self.cut)

    def sweep(self, once, wanted, asked):
        """Mark what only what is gone used: `once` by anything, `wanted` by others who
        import it, `asked` by tests for a fixture. Returns how much is marked."""
        read = self.used(names="read")
        for part in self.staying():
            if part.imported:
                if self.gone or self.cut:
                    self.gone |= (part.names & once) - read - wanted
            elif part.names & once and not (part.is_test or part.decorated("autouse")):
                kept = (
                    self.used(but=part) | wanted | (asked if self.fixtures else set())
                )
                if not part.names & kept:
                    self.gone |= part.names
        return len(self.gone)

    def left(self):
        """The text without what goes."""
        text = self.text.encode()
        starts = [0, *(i + 1 for i, byte in enumerate(text) if byte == 10)]

        def place(line, column):
            return starts[line - 1] + column

        cuts, put = [], {}
        for part in self.parts:
            node = part.node
            first = min(n.lineno for n in [node, *getattr(node, "decorator_list", ())])
            whole = place(first, 0), [*starts, len(text)][node.end_lineno]
            if part.imported and part.names & self.gone:
                node.names = [a for a in node.names if name_of(a) not in self.gone]
                cuts.append(whole)
                put[whole] = f"{ast.unparse(node)}\n".encode() if node.names else b""
            elif part.names and part.names <= self.gone:
                while text[starts[first - 2] :].startswith(b"#"):  # right above it
                    first -= 1
                cuts.append((place(first, 0), whole[1]))
            else:
                for elements in part.elements.values():
                    cuts += self.cuts_in(elements, place)
        left, end = b"", 0
        for cut in sorted(cuts):  # they may overlap
            left += text[end : cut[0]] + put.get(cut, b"")
            end = max(end, cut[1])
        left += text[end:]
        heading = r"(?m)^(?:#.*\n)+\n+(?=(?:#.*\n)+\n|\Z)"  # with nothing below it now
        return re.sub(heading, "", left.decode()).rstrip() + "\n"

    def cuts_in(self, elements, place):
        """Where a list is cut: from an element to the next one, or the last one's end."""
        for element, following in zip(elements, [*elements[1:], None]):
            if element in self.cut:
                node = following.first if following else element.last
                start = place(element.first.lineno, element.first.col_offset)
                end = (
                    place(node.lineno, node.col_offset)
                    if following
                    else place(node.end_lineno, node.end_col_offset)
                )
                before = elements[: elements.index(element)]
                if not following and before:  # with the comma in front of it
                    last = [e for e in before if e not in self.cut][-1].last
                    start = place(last.end_lineno, last.end_col_offset)
                yield start, end


def name_of(alias):
    return alias.asname or alias.name.split(".")[0]


def forget_tests(paths, speaks):
    """Cut from these files what speaks of what is gone, what uses that, and what only
    that used."""
    files = [Tests(path) for path in paths]
    once = {n for f in files for n in f.used()}

    def again(step):
        before = None
        while before != (before := sum(map(step, files))):
            pass

    def lose(file):
        fixtures = {n for f in files if f.fixtures for n in f.gone}
        own = {n for part in file.parts if not part.imported for n in part.names}
        origins = {other.path.stem: other.gone for other in files}
        away = file.gone | (fixtures - own)
        return file.lose(speaks, away, away & (fixtures | file.asked_for), origins)

    def sweep(file):
        wanted, asked = set(), {n for f in files for n in f.used()}
        for part in (part for other in files for part in other.staying()):
            if part.imported and getattr(part.node, "module", "") == file.path.stem:
                wanted |= {alias.name for alias in part.node.names}
        return file.sweep(once, wanted, asked)

    again(lose)
    again(sweep)
    for file in files:
        if file.path.name.startswith("test_") and not any(
            part.is_test for part in file.staying()
        ):
            file.path.unlink()
        elif file.gone or file.cut:
            file.path.write_text(file.left(), encoding="utf-8")
