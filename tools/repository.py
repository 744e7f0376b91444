"""Helpers for commands that change the files of a git clone, completely or not at all."""

import importlib.util
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]


def read(path):
    """Return the text of a file with its line ends; of any other file, an empty text."""
    try:
        return "" if path.is_symlink() else path.read_bytes().decode()
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError):
        return ""


def edit(path, change):
    """Replace the text of a file with what the function `change` returns for it."""
    before = read(path)
    if (text := change(before)) != before:
        path.write_bytes(text.encode())


def run(root, problem, *command, env=None):
    """Return what a command prints in `root`. Raise ClickException, with `problem`."""
    try:
        done = subprocess.run(
            command, cwd=root, env=env, capture_output=True, text=True
        )
    except FileNotFoundError:
        error = f"{command[0]} is not installed."
        raise click.ClickException(f"{problem}: {error}") from None
    if done.returncode:
        # Of a traceback, only the last line.
        error = re.sub(r"(?s)(.*\n)?Traceback .*\n(?=\S)", "", done.stderr)
        raise click.ClickException(f"{problem}: {error.strip()}")
    return done.stdout.rstrip("\n")


def git(root, *words):
    """Return what git prints in `root`. Raise ClickException."""
    return run(root, f"Git failed ({words[0]})", "git", *words)


@contextmanager
def all_or_nothing(root):
    """Stage what the block changes in a clean clone; if it fails, undo all of it.

    Yield the paths of the files that git tracks. Raise ClickException if `root` is no
    clone, or if its tree is not clean.
    """
    problem = (
        "This command works in a git repository with a commit to return to: git init"
    )
    run(root, f"{problem}; git add .; git commit", "git", "log", "-1")
    if waiting := git(root, "status", "--porcelain").splitlines():
        raise click.ClickException(
            "Commit or stash your changes first, so that git can show and undo what the "
            f"command does. There are {len(waiting)}: git status."
        )
    try:
        yield git(root, "ls-files", "-z").rstrip("\0").split("\0")
        git(root, "add", "--all")
        git(root, "clean", "-d", "--force", "--quiet")  # folders that are now empty
    except BaseException:
        git(root, "add", "--all")  # else `reset` would leave the new files
        git(root, "reset", "--hard", "--quiet")
        raise


def report(root, result, notes):
    """Print what a command has changed, and the next steps."""
    changes = git(root, "diff", "--shortstat", "HEAD")
    review = "Review: git diff --stat HEAD. Undo: git reset --hard"
    last = "Next: make test, make lint, then git commit."
    click.echo("\n".join([f"{result}:{changes}", review, *notes, last]))


def is_there(path):
    """Return whether `path` is a file, or a folder with more than compiled Python files."""
    files = [each for each in path.rglob("*") if not each.is_dir()]
    return path.is_file() or any(file.parent.name != "__pycache__" for file in files)


def forget(folder):
    """Remove a folder that only has files that Python compiled; git does not see it."""
    if folder.is_dir() and not is_there(folder):
        shutil.rmtree(folder)
        importlib.invalidate_caches()  # it was importable


def tidy(root, *files):
    """Format Python files below a folder with Black; all of them if none is named.

    Install the development tools if Black is missing. Raise ClickException.
    """
    python = sys.executable
    if importlib.util.find_spec("black") is None:
        click.echo("Installing the development tools, which format code.")
        problem = "This command needs Black. To install it: make .venv/dev"
        run(ROOT, problem, "make", "--silent", ".venv/dev")
        python = ROOT / ".venv/bin/python"
    run(root, "Black failed", python, "-m", "black", "--quiet", *(files or ["."]))
