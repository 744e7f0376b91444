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


def replace_words(text, words):
    """Return `text` with these words replaced: {before: after}.

    A word is delimited by anything but letters and digits, so `_` separates words.
    """
    either = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    pattern = rf"(?<![^\W_])(?:{either})(?![^\W_])"
    return re.sub(pattern, lambda match: words[match[0]], text)


def read(path):
    """Return the text of a file with its line ends, or None if it is not a text file."""
    try:
        return None if path.is_symlink() else path.read_bytes().decode()
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError):
        return None


def git(root, *words):
    """Return what git prints in `root`, without the last line end. Raise ClickException."""
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True)
    except FileNotFoundError:
        raise click.ClickException(
            "This command needs git, which is not installed."
        ) from None
    if done.returncode:
        raise click.ClickException(f"Git failed ({words[0]}): {done.stderr.strip()}")
    return done.stdout.rstrip("\n")


def tracked(root):
    """Return the paths below `root` of the files that git tracks.

    Raise ClickException if `root` is no clone, or if its tree is not clean.
    """
    try:
        waiting = git(root, "status", "--porcelain")
        git(root, "log", "-1")
    except click.ClickException as error:
        raise click.ClickException(
            "This command works in a git repository with a commit to return to: "
            f"git init; git add .; git commit. {error.message}"
        ) from None
    if waiting:
        raise click.ClickException(
            "Commit or stash your changes first, so that git can show and undo what the "
            f"command does. There are {len(waiting.splitlines())}: git status."
        )
    return [file for file in git(root, "ls-files", "-z").split("\0") if file]


@contextmanager
def all_or_nothing(root):
    """Stage what the block changes in a clean clone; if it fails, undo all of it.

    Raise ClickException if the tree is not clean.
    """
    tracked(root)
    try:
        yield
        git(root, "add", "--all")
    except BaseException:
        git(root, "add", "--all")  # else `reset` would leave the new files
        git(root, "reset", "--hard", "--quiet")
        raise


def remove_empty(folder):
    """Remove a folder if it is empty, and then its parents if they are."""
    while not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def forget_leftover(folder):
    """Remove a folder that only has files that Python compiled; git does not see it."""
    if folder.is_dir() and not is_there(folder):
        forget(folder)
        importlib.invalidate_caches()  # it was importable


def is_there(path):
    """Return whether `path` is a file, or a folder with more than compiled Python files."""
    return path.is_file() or any(
        not each.is_dir() and each.parent.name != "__pycache__"
        for each in path.rglob("*")
    )


def forget(folder):
    """Remove compiled Python files below a folder, and the folders that are then empty."""
    for cache in list(folder.rglob("__pycache__")):
        shutil.rmtree(cache)
    below = sorted(folder.rglob("*"), reverse=True) if folder.exists() else []
    for empty in [*below, folder]:
        if empty.is_dir() and not any(empty.iterdir()):
            empty.rmdir()


def tidy(root, *files):
    """Format Python files below a folder with Black; all of them if none is named.

    Install the development tools if Black is missing. Raise ClickException.
    """
    python = sys.executable
    if importlib.util.find_spec("black") is None:
        click.echo("Installing the development tools, which format code.")
        if subprocess.run(["make", "--silent", ".venv/dev"], cwd=ROOT).returncode:
            raise click.ClickException(
                "This command needs Black. To install it: make .venv/dev."
            )
        python = ROOT / ".venv/bin/python"
    done = subprocess.run(
        [python, "-m", "black", "--quiet", *(files or ["."])],
        cwd=root,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise click.ClickException(f"Black failed: {done.stderr.strip()}")
