"""`flask remove-examples`: delete the example features from the project."""

import os
import re
import sys
import tempfile
from functools import partial

import click
from flask.cli import with_appcontext

import myapp

from . import repository
from .repository import all_or_nothing, edit, forget, git, read, report, run, tidy

PACKAGE = myapp.__name__
EXAMPLES = ("devices", "imports", "presence", "todos")
EXAMPLE = rf"(?:{'|'.join(EXAMPLES)})"
DATA = ("data/smart-devices.csv", "data/todos.json")
MENTION = rf"(?:/|\b{PACKAGE}\.|features=){EXAMPLE}\b|{'|'.join(DATA)}"
OURS = ("tools/remove_examples.py", "migrations/")  # they go on naming the examples
# Whole lines to delete in a file.
LINES = {
    f"{PACKAGE}/__init__.py": rf"from \.{EXAMPLE} import .*\n| +{EXAMPLE},\n",
    ".importlinter": rf" +(?:{PACKAGE}\.\S+ -> )?{PACKAGE}\.{EXAMPLE}\..*\n",
    "README.md": rf"[| `├└│─]*(?:{PACKAGE}/)?{EXAMPLE}/(?=[`\s]).*\n",
    # With a heading, if all of its rows are deleted.
    "tests/authorization.txt": (
        rf"(?:#.*\n)+\n(?:[A-Z]+ +{EXAMPLE}/.*\n|\n)+(?=#|\Z)|[A-Z]+ +{EXAMPLE}/.*\n"
    ),
}
# The tables as the migrations build them also tell which ones a feature has left behind
# that was deleted before, by hand.
GENERATE = """
"$0" -m flask db upgrade
"$0" -m flask db migrate --message "Drop the tables of the examples"
"$0" -m flask openapi > openapi.json
"$0" -m flask reference
"""


@click.command("remove-examples")
@with_appcontext
def remove_examples():
    """Delete the example features: devices, imports, presence and todos.

    Deletes their folders, their lines in FEATURES, in tests/authorization.txt, in
    .importlinter and in the README's map, and their demo data. Writes a migration that
    drops their tables, and updates openapi.json and the pages of `flask reference`. The git
    tree must be clean. Examples that are already deleted are skipped. If an error occurs,
    nothing is changed.
    """
    root, folders = repository.ROOT, [f"{PACKAGE}/{name}" for name in EXAMPLES]
    with all_or_nothing(root) as files:
        if imports := list(dependents(root, files)):
            imports.insert(0, "These modules import an example. Change them first:")
            raise click.ClickException("\n  ".join(imports))
        git(root, "rm", "-r", "--quiet", "--ignore-unmatch", *folders, *DATA)
        for folder in folders:
            forget(root / folder)
        for file, lines in LINES.items():
            edit(root / file, partial(re.compile(f"^(?:{lines})", re.M).sub, ""))
        tidy(root, f"{PACKAGE}/__init__.py")
        notes = generate(root)
    if not git(root, "status", "--porcelain"):
        click.echo("There is nothing to remove.")
        return
    mentions = [file for file in files if re.search(MENTION, read(root / file))]
    if mentions := [file for file in mentions if not file.startswith(OURS)]:
        notes.append("These files still mention the examples; edit or delete them:")
        notes += [f"  {file}" for file in mentions]
    report(root, "The examples are removed", notes)


def dependents(root, files):
    """Yield "path: statement" for each import of an example by another module."""
    own = re.compile(rf"{PACKAGE}/({EXAMPLE}/|__init__\.py)")
    for file in files:
        dots = r"\." * file.count("/")
        module = rf"(?:from|import) (?:{PACKAGE}\.|{dots}){EXAMPLE}\b.*"
        name = rf"from (?:{PACKAGE}|{dots}) import .*\b{EXAMPLE}\b.*"
        if re.match(rf"{PACKAGE}/.*\.py$", file) and not own.match(file):
            for match in re.finditer(f"^ *({module}|{name})", read(root / file), re.M):
                yield f"{file}: {match[1]}"


def generate(root):
    """Write the migration, openapi.json and the generated pages, with the default settings.

    Return notes on the migration, if there are tables to drop. Raise ClickException if the
    application does not start, or if the migration would do more.
    """
    env = {"FLASK_APP": PACKAGE, "FLASK_SKIP_DOTENV": "1"}
    env["PATH"] = os.environ.get("PATH", os.defpath)
    with tempfile.TemporaryDirectory(prefix="examples-") as instance:
        env["INSTANCE_PATH"] = instance
        problem = "Without the examples, flask fails; nothing was changed"
        run(root, problem, "sh", "-ec", GENERATE, sys.executable, env=env)
    migration = git(root, "ls-files", "--others", "--exclude-standard", "migrations")
    upgrade, _, _ = read(root / migration).partition("\ndef downgrade")
    if others := set(re.findall(r"\bop\.(\w+)", upgrade)) - {"drop_table"}:
        raise click.ClickException(
            f"The models differ from the migrations ({', '.join(sorted(others))}). Run "
            "flask db migrate, commit, and try again."
        )
    drop = f"{migration} drops their tables: flask deploy"
    gate = "If a server runs a release that has the examples, release without this "
    gate += "migration first: docs/adr/0022-migrations-gate.md"
    return [drop, gate] if migration else []
