"""Write a feature to a copy of the project, test it there, and copy it back."""

import ast
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import click
from alembic.script import ScriptDirectory
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..repository import tidy
from . import edits, project
from .project import PACKAGE

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
EDITS = {
    f"{PACKAGE}/__init__.py": edits.add_to_package,
    ".importlinter": edits.add_to_contracts,
    "README.md": edits.add_to_readme,
}
VERSIONS = "migrations/versions"
COPIED = (PACKAGE, "tools", "migrations", "default_config.py", "openapi.json")


def write(feature):
    """Add a feature to the project, or raise ClickException and leave it as it was."""
    check_migrations()
    files = render(feature) | edit(feature)
    folder = project.ROOT / PACKAGE / feature.name
    check_writable([*files, "openapi.json", VERSIONS])
    with tempfile.TemporaryDirectory(prefix="feature-") as name:
        copy = copy_project(Path(name))
        for path, text in files.items():
            (copy / path).parent.mkdir(exist_ok=True)
            (copy / path).write_text(text, encoding="utf-8")
        run(copy, "tools.new_feature.migration", feature.name)
        migrations = {path.name for path in (copy / VERSIONS).glob("*.py")}
        new = migrations - {path.name for path in (project.ROOT / VERSIONS).iterdir()}
        paths = [*files, "openapi.json", *(f"{VERSIONS}/{name}" for name in new)]
        tidy(copy, *(path for path in paths if path.endswith(".py")))
        # FEATURES is the last, so that a running service finds all modules of the feature.
        paths.sort(key=lambda path: path == f"{PACKAGE}/__init__.py")
        with all_or_nothing([folder, *(project.ROOT / path for path in paths)]):
            folder.mkdir(exist_ok=True)
            for path in paths:
                shutil.copyfile(copy / path, project.ROOT / path)


def render(feature):
    """Return the feature's own files, as {path: text}. Raise UsageError."""
    folder = f"{PACKAGE}/{feature.name}"
    templates = {
        f"{folder}/__init__.py": "__init__.py",
        f"{folder}/endpoints.py": "explicit.py" if feature.explicit else "endpoints.py",
        f"{folder}/models.py": "models.py",
        f"{folder}/test_{feature.name}.py": "test.py",
    }
    files = {}
    for path, name in templates.items():
        text = TEMPLATES.get_template(f"{name}.jinja").render(feature=feature)
        check_names(text, feature)
        files[path] = text
    return files


def edit(feature):
    """Return the files of the project that name the feature, as {path: text}."""
    files = {}
    for path, change in EDITS.items():
        if (project.ROOT / path).exists():
            before = (project.ROOT / path).read_text(encoding="utf-8")
            files[path] = change(before, feature)
    return files


def check_names(text, feature):
    """Raise UsageError if a module binds a name twice."""
    names = Counter()
    for node in ast.parse(text).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets)
        else:
            names.update([getattr(node, "name", None)] if hasattr(node, "name") else [])
    for name, count in names.items():
        if count > 1:
            project.refuse(f"{feature.name}: its own code needs another {name!r}.")


def check_migrations():
    """Raise ClickException if no migration can follow the present ones."""
    try:
        with warnings.catch_warnings(action="error"):
            heads = ScriptDirectory(str(project.ROOT / "migrations")).get_heads()
    except Exception as error:  # migrations are code, and may raise anything
        raise click.ClickException(f"A migration is invalid: {error}") from None
    if len(heads) != 1:
        raise click.ClickException(
            "There are several head migrations. Run: flask db merge."
        )


def check_writable(paths):
    """Raise ClickException if one of these files cannot be written."""
    for path in paths:
        existing = project.ROOT / path
        while not existing.exists():
            existing = existing.parent
        if not os.access(existing, os.W_OK):
            name = existing.relative_to(project.ROOT)
            raise click.ClickException(f"Nothing was written: {name} is read-only.")


def copy_project(folder):
    """Copy to `folder` what a feature needs to be tried."""
    for name in COPIED:
        source = project.ROOT / name
        if source.is_dir():
            # Compiled files save the copy a start; a running process may write others.
            ignored = shutil.ignore_patterns("*.pyc.*")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    return folder


def run(folder, module, *arguments):
    """Run a Python module in a copy of the project, with default settings. Raise
    ClickException."""
    prefix = f"{PACKAGE.upper()}_"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(prefix)}
    for name in ("DATABASE_URL", "REDIS_URL", "FLASK_CONFIG"):
        environment.pop(name, None)
    environment |= {"INSTANCE_PATH": f"{folder}/instance", "PYTHONPATH": ""}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, env=environment)
    if done.returncode:
        last = (done.stderr.decode().strip().splitlines() or [""])[-1]
        raise click.ClickException(
            f"The feature does not work; nothing was written: {last}"
        )


@contextmanager
def all_or_nothing(paths):
    """Restore these files, and remove the new ones, if the block fails."""
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
def explain_os_errors():
    """End with one line if the disk refuses something, and clean up on SIGTERM."""

    def end(_signal, _frame):
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except OSError as error:
        reason = error.strerror or "a file cannot be copied"  # copytree collects errors
        raise click.ClickException(f"Nothing was written: {reason}.") from None
    finally:
        signal.signal(signal.SIGTERM, before)
