"""Write a feature into a copy of the project, try it there, and bring it over."""

import ast
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import click
from alembic.script import ScriptDirectory
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from myapp.core.data.migrations import MIGRATIONS

from ..repository import tidy
from .project import PACKAGE, PROJECT
from .words import in_words, sentence

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
TRIED = ("migrations", "default_config.py", "openapi.json")  # beside the package


# Writing it
def written(slice, head):
    """The files of a slice, {path in the project: text}. `head`: the last migration."""
    context = {name: getattr(slice, name) for name in dir(slice) if name[0] != "_"}
    context |= {"revision": secrets.token_hex(6), "former": repr(head)}
    context |= {"sentence": sentence, "in_words": in_words}
    folder = f"{PACKAGE.name}/{slice.name}"
    files = {
        f"{folder}/__init__.py": "__init__.py",
        f"{folder}/endpoints.py": "endpoints.py",
        f"{folder}/models.py": "models.py",
        f"{folder}/test_{slice.name}.py": "test.py",
    }
    if not slice.redis:
        today = f"{date.today():%Y%m%d}"
        files[f"migrations/versions/{today}_{slice.name}.py"] = "migration.py"
    return {
        path: TEMPLATES.get_template(f"{template}.jinja").render(context)
        for path, template in files.items()
    }


def edited(slice):
    """The files that name the slices, with this one in them, as `written` has them."""
    return {
        f"{PACKAGE.name}/__init__.py": (imported, slice.name),
        f"{PACKAGE.name}/guard.py": (permitted, slice.name if slice.owned else None),
        ".importlinter": (declared, slice),
        "README.md": (mapped, slice),
    }


def imported(text, name):
    """`create_app`'s module with an import more, in order, and a feature more."""
    folders = {path.parent.name for path in PACKAGE.glob("*/endpoints.py")}
    lines = text.splitlines(keepends=True)
    slices = [
        (found[1], number)
        for number, line in enumerate(lines)
        if (found := re.match(r"from \.(\w+)", line)) and found[1] in folders
    ]
    before = [number for known, number in slices if known < name]
    lines.insert(
        before[-1] + 1 if before else slices[0][1], f"from .{name} import {name}\n"
    )
    text = "".join(lines)
    features = tuple_called("FEATURES", text)
    last = features.elts[-1]
    return in_tuple(
        last.value if isinstance(last, ast.Starred) else features, name, text
    )


def permitted(text, name):
    """The guard with the name of a slice more whose things have owners."""
    return in_tuple(tuple_called("OWNED", text), repr(name), text)


def tuple_called(name, text):
    """The tuple that is assigned to this name, as the parser has it."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return node.value
    raise click.ClickException(f"{name} is not there any more.")


def in_tuple(node, word, text):
    """The text with a word more at the end of a tuple."""
    lines = text.splitlines(keepends=True)[: node.end_lineno]
    end = len("".join(lines)) - len(lines[-1]) + node.end_col_offset - 1
    before = text[:end].rstrip()
    comma = "" if before.endswith(("(", ",")) else ","
    alone = "" if node.elts else ","  # without it, brackets make no tuple
    return f"{before}{comma} {word}{alone}{text[end:]}"


def declared(text, slice):
    """import-linter's settings with the edges to other slices, in order."""
    edge = re.compile(rf"^    {PACKAGE.name}\.\w+\.\* -> .*\n", re.M)
    known = edge.findall(text)
    new = [
        f"    {PACKAGE.name}.{slice.name}.* -> {PACKAGE.name}.{other}.models\n"
        for other in slice.others
    ]
    if not new:
        return text
    return text.replace("".join(known), "".join(sorted(known + new)))


def mapped(text, slice):
    """The README with a row more in its map, behind the last slice's."""
    rows = list(re.finditer(rf"^\| `{PACKAGE.name}/\w+/`.*\n", text, re.M))
    if not rows:
        return text
    row = f"| `{PACKAGE.name}/{slice.name}/` | {slice.telling} |\n"
    return text[: rows[-1].end()] + row + text[rows[-1].end() :]


@contextmanager
def all_or_nothing(paths):
    """What is done to these paths happens as a whole: if it fails, each is as it was."""
    before = {path: path.read_bytes() if path.is_file() else None for path in paths}
    try:
        yield
    except BaseException:
        for path, content in before.items():
            if content is not None:
                if path.read_bytes() != content:
                    path.write_bytes(content)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        raise


@contextmanager
def told_in_a_sentence():
    """What the disk does not let us do ends in a sentence, and SIGTERM like any other end:
    whoever has begun something takes it back."""

    def end(_signal, _frame):
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except OSError as error:
        why = error.strerror or "a file cannot be copied"  # a list, of temporary names
        raise click.ClickException(f"Nothing was written: {why}.") from None
    finally:
        signal.signal(signal.SIGTERM, before)


def last_migration():
    """Raises ClickException where they make no line that can be gone on with."""
    scripts = ScriptDirectory(MIGRATIONS)
    try:
        with warnings.catch_warnings(action="error"):
            heads = scripts.get_heads()
    except Exception as error:  # whatever is written there is run
        raise click.ClickException(f"A migration is wrong: {error}") from None
    if len(heads) != 1:
        raise click.ClickException("The migrations have several heads: flask db merge")
    return heads[0]


def run(folder, *words):
    """What a Python module prints in a folder. Raises ClickException."""
    own = f"{PACKAGE.name.upper()}_"
    kept = {name: value for name, value in os.environ.items() if own not in name}
    environment = {**kept, "INSTANCE_PATH": f"{folder}/instance", "PYTHONPATH": ""}
    for name in ("DATABASE_URL", "REDIS_URL", "FLASK_CONFIG"):
        environment.pop(name, None)
    words = [sys.executable, "-m", *words]
    done = subprocess.run(words, cwd=folder, capture_output=True, env=environment)
    if done.returncode:
        told = done.stderr.decode().strip().splitlines() or [""]
        raise click.ClickException(
            f"It does not work, so nothing was written: {told[-1]}"
        )
    return done.stdout


def write(slice):
    """Bring a slice into the project, or raise ClickException and leave it as it was."""
    files = written(slice, last_migration())
    for path, (edit, value) in edited(slice).items():
        if value is not None and (PROJECT / path).exists():
            files[path] = edit((PROJECT / path).read_text(encoding="utf-8"), value)
    new = PACKAGE / slice.name
    paths = [PROJECT / path for path in (*files, "openapi.json")]
    for path in paths:
        place = path if path.exists() else path.parent
        place = PACKAGE if place == new and not new.exists() else place
        if not os.access(place, os.W_OK):
            place = place.relative_to(PROJECT)
            raise click.ClickException(f"Nothing was written: {place} is read-only.")
    with tempfile.TemporaryDirectory(prefix="feature-") as folder:
        copy = Path(folder)
        unlike = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PACKAGE, copy / PACKAGE.name, ignore=unlike)
        for name in TRIED:
            source = PROJECT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=unlike)
            else:
                shutil.copy(source, copy / name)
        for path, text in files.items():
            (copy / path).parent.mkdir(exist_ok=True)
            (copy / path).write_text(text, encoding="utf-8")
        tidy(copy, *(path for path in files if path.endswith(".py")))
        told = run(copy, "flask", "--app", PACKAGE.name, "openapi")
        (copy / "openapi.json").write_bytes(told)
        # Features come last, so that a service that runs finds all that they name.
        paths.sort(key=lambda path: path == PACKAGE / "__init__.py")
        with all_or_nothing(
            [new, *(path for path in paths if new not in path.parents)]
        ):
            new.mkdir(exist_ok=True)
            for path in paths:
                shutil.copyfile(copy / path.relative_to(PROJECT), path)
