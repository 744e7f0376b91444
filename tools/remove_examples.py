"""`flask remove-examples`: delete the example features from the project.

The command changes files that git tracks, and only in a clean tree: `git diff HEAD` shows
the changes, `git reset --hard` undoes them.
"""

import os
import re
import subprocess
import sys
import tempfile

import click
from flask.cli import with_appcontext

import myapp
from myapp.core.settings import PREFIX, UNPREFIXED_VARIABLES

from . import repository
from .repository import all_or_nothing, forget, git, read, tidy, tracked

PACKAGE = myapp.__name__
EXAMPLES = ("devices", "imports", "presence", "todos")
EXAMPLE_PATTERN = rf"(?:{'|'.join(EXAMPLES)})"
DATA = ("data/smart-devices.csv", "data/todos.json")
MESSAGE = "Drop the tables of the examples"
# What to delete in a file: patterns of whole lines, in this order.
LINES = {
    f"{PACKAGE}/__init__.py": (
        rf"from \.{EXAMPLE_PATTERN} import .*\n",
        rf" +{EXAMPLE_PATTERN},\n",
    ),
    ".importlinter": (rf" +(?:{PACKAGE}\.\S+ -> )?{PACKAGE}\.{EXAMPLE_PATTERN}\..*\n",),
    "README.md": (rf"[| `├└│─]*(?:{PACKAGE}/)?{EXAMPLE_PATTERN}/(?=[`\s]).*\n",),
    "tests/authorization.txt": (
        rf"[A-Z]+ +{EXAMPLE_PATTERN}/.*\n",
        r"(?:#.*\n)+\n+(?=#|\Z)",  # a heading without rows
    ),
}


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
    root = repository.ROOT
    migration = remove(root)
    if changes := git(root, "diff", "--shortstat", "HEAD"):
        click.echo(f"The examples are removed:{changes}")
    else:
        click.echo("There is nothing to remove.")
        return
    click.echo("Review: git diff --stat HEAD. Undo: git reset --hard")
    if migration:
        click.echo(
            f"{migration} drops their tables: flask deploy\n"
            "If a server runs a release that has the examples, release without this "
            "migration first: docs/adr/0022-migrations-gate.md"
        )
    if files := mentions(root):
        click.echo("These files still mention the examples; edit or delete them:")
        click.echo("".join(f"  {file}\n" for file in files), nl=False)
    click.echo("Next: make test, make lint, then git commit.")


def remove(root):
    """Remove the examples from the clone at `root`.

    Return the path of the new migration, or None if there are no tables to drop. Raise
    ClickException if the tree is not clean, if another module needs an example, or if the
    rest does not work without them; then nothing has changed.
    """
    if imports := list(dependents(root)):
        lines = "".join(f"\n  {line}" for line in imports)
        raise click.ClickException(
            f"These modules import an example. Change them first:{lines}"
        )
    with all_or_nothing(root):
        folders = [f"{PACKAGE}/{name}" for name in EXAMPLES]
        git(root, "rm", "-r", "--quiet", "--ignore-unmatch", *folders, *DATA)
        for folder in folders:
            forget(root / folder)
        for file, patterns in LINES.items():
            if (text := read(root / file)) is not None:
                for pattern in patterns:
                    text = re.sub(f"^{pattern}", "", text, flags=re.MULTILINE)
                (root / file).write_bytes(text.encode())
        tidy(root, f"{PACKAGE}/__init__.py")
        return rewrite_generated(root)


def dependents(root):
    """Yield "path: statement" for each import of an example by another module."""
    for file in tracked(root):
        folder, *below = file.split("/")
        if folder != PACKAGE or not file.endswith(".py") or below[0] in EXAMPLES:
            continue
        if below == ["__init__.py"]:
            continue
        dots = r"\." * len(below)
        module = rf"(?:from|import) (?:{PACKAGE}\.|{dots}){EXAMPLE_PATTERN}\b"
        name = rf"from (?:{PACKAGE}|{dots}) import .*\b{EXAMPLE_PATTERN}\b"
        statement = re.compile(rf"^ *((?:{module}|{name}).*)", re.MULTILINE)
        for match in statement.finditer(read(root / file) or ""):
            yield f"{file}: {match[1]}"


def rewrite_generated(root):
    """Write the migration, openapi.json and the generated pages of the project at `root`.

    Return the path of the migration, or None if there are no tables to drop. Raise
    ClickException if the application does not start, or if the migration would do more.
    """
    with tempfile.TemporaryDirectory(prefix="examples-") as instance:
        # The tables as the migrations build them also tell which ones a feature has left
        # behind that was deleted before, by hand.
        flask(root, instance, "db", "upgrade")
        flask(root, instance, "db", "migrate", "--message", MESSAGE)
        (root / "openapi.json").write_bytes(flask(root, instance, "openapi"))
        flask(root, instance, "reference")
    migration = git(
        root, "ls-files", "--others", "--exclude-standard", "migrations/versions"
    )
    if not migration:
        return None
    upgrade, _, _ = read(root / migration).partition("\ndef downgrade")
    if others := set(re.findall(r"\bop\.(\w+)", upgrade)) - {"drop_table"}:
        raise click.ClickException(
            f"The models differ from the migrations ({', '.join(sorted(others))}). Run "
            "flask db migrate, commit, and try again."
        )
    return migration


def flask(root, instance, *words):
    """Run a command of `flask` in the project at `root`, with the default settings and a
    new database in the folder `instance`. Return its output. Raise ClickException."""
    ours = (PREFIX, "FLASK_", *UNPREFIXED_VARIABLES)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    environment |= {"FLASK_SKIP_DOTENV": "1", "INSTANCE_PATH": instance}
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", PACKAGE, *words],
        cwd=root,
        env=environment,
        capture_output=True,
    )
    if done.returncode:
        error = done.stderr.decode().strip().rpartition("\n")[2]
        raise click.ClickException(
            f"Without the examples, flask {words[0]} fails; nothing was changed: {error}"
        )
    return done.stdout


def mentions(root):
    """Return the files below `root` that name an address, a module or data of an example,
    except this one and the migrations."""
    pattern = re.compile(
        rf"(?:/|\b{PACKAGE}\.|features=){EXAMPLE_PATTERN}\b|{'|'.join(DATA)}"
    )
    return [
        file
        for file in git(root, "ls-files").splitlines()
        if not file.startswith(("tools/remove_examples", "migrations/"))
        and pattern.search(read(root / file) or "")
    ]
