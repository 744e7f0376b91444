"""Change the files of a git clone as a whole, or not at all."""

import importlib.util
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]


def replaced(text, words):
    """The text with each of these words, and of none that merely holds one, replaced."""
    either = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    pattern = rf"(?<![^\W_])(?:{either})(?![^\W_])"  # _ parts words, letters do not
    return re.sub(pattern, lambda found: words[found[0]], text)


def read(path):
    """The text of a file as it stands there, line ends and all; None where it is none."""
    try:
        return None if path.is_symlink() else path.read_bytes().decode()
    except UnicodeDecodeError:
        return None


# What changes a clone
def git(root, *words):
    """What git answers there, without the line's end. Raises ClickException."""
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True)
    except FileNotFoundError:
        raise click.ClickException(
            "git is needed here, and is not installed."
        ) from None
    if done.returncode:
        raise click.ClickException(f"git {words[0]}: {done.stderr.strip()}")
    return done.stdout.rstrip("\n")


def tracked(root):
    """The files that git knows, each as its path below `root`. Raises ClickException where
    that is no clone, or where something waits to be committed."""
    try:
        waiting = git(root, "status", "--porcelain")
        git(root, "log", "-1")
    except click.ClickException as error:
        raise click.ClickException(
            "It works in a repository of git alone, with a commit to come back to: "
            f"git init; git add .; git commit. {error.message}"
        ) from None
    if waiting:
        raise click.ClickException(
            "Commit first, or stash: then git can show what happened, and take it back. "
            f"Now it has {len(waiting.splitlines())} changes: git status."
        )
    return [file for file in git(root, "ls-files", "-z").split("\0") if file]


@contextmanager
def all_or_nothing(root):
    """All that the block does in a clone that holds nothing to be committed is staged at
    its end; where it fails, nothing has happened."""
    tracked(root)
    try:
        yield
        git(root, "add", "--all")
    except BaseException:
        git(root, "add", "--all")  # what is new, too, is then git's to take away
        git(root, "reset", "--hard", "--quiet")
        raise


def remove_empty(folder):
    """Remove a folder that holds nothing, and those above it that hold nothing then."""
    while not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def forget_leftover(folder):
    """Remove a folder of which only what Python compiled is left: git does not see it."""
    if folder.is_dir() and not is_there(folder):
        forget(folder)
        importlib.invalidate_caches()  # else it is still a module's


def is_there(path):
    """Whether there is such a file, or a folder with more than what Python compiled."""
    return path.is_file() or any(
        not each.is_dir() and each.parent.name != "__pycache__"
        for each in path.rglob("*")
    )


def forget(folder):
    """Remove what Python compiled below a folder, and what is empty then."""
    for cache in list(folder.rglob("__pycache__")):
        shutil.rmtree(cache)
    below = sorted(folder.rglob("*"), reverse=True) if folder.exists() else []
    for empty in [*below, folder]:
        if empty.is_dir() and not any(empty.iterdir()):
            empty.rmdir()


def tidy(root, *files):
    """Break lines of Python files below a folder anew, of all where none is named. Black
    does so, which comes with the tools and not with the service: it is installed where it
    is missing. Raises ClickException."""
    python = sys.executable
    if importlib.util.find_spec("black") is None:
        click.echo("Installing the development tools, which put code into form.")
        if subprocess.run(["make", "--silent", ".venv/dev"], cwd=ROOT).returncode:
            raise click.ClickException("Black is needed here: make .venv/dev")
        python = ROOT / ".venv/bin/python"
    done = subprocess.run(
        [python, "-m", "black", "--quiet", *(files or ["."])],
        cwd=root,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise click.ClickException(f"black: {done.stderr.strip()}")
