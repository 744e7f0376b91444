"""`flask rename-project`: the project under a name of your own.

It changes what git knows, where nothing waits to be committed: `git diff HEAD` tells what
happened, and `git reset --hard` takes it back.
"""

import builtins
import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import sys
from contextlib import contextmanager
from keyword import iskeyword, issoftkeyword
from pathlib import Path

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy.dialects.mysql.reserved_words import RESERVED_WORDS_MYSQL
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

from .openapi import TITLE

ROOT = Path(__file__).parent.parent
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
LETTERS = "it takes lower-case letters, digits and single _ between them"
LONGEST = 16  # letters; with more, lines would grow longer than .flake8 allows
# What Python, JSON, Markdown and systemd all take as it is.
TITLES = re.compile(r"\w[\w .,'&-]{0,39}")
# Accounts, groups and folders of a server, and databases: deploy/ would meet them.
OF_A_SERVER = frozenset(
    "adm admin apt audio backup bin cdrom certbot cron crontab daemon dbus debian deploy "
    "dialout dip disk docker dpkg fax floppy games gnats input irc journal kmem kvm list "
    "lock logrotate lp lxd mail man mariadb messagebus mysql netdev news nginx nobody "
    "nogroup operator pam plugdev polkit postgres postgresql proxy redis render root sasl "
    "shadow src sshd ssl staff sudo sync sys systemd tape tty ubuntu udev user users utmp "
    "uucp valkey video voice".split()
)
# Variables begin with these, here or elsewhere: they would be taken for settings.
OF_VARIABLES = frozenset(
    "arg broker ci cookie database flask github http instance lc move npm prometheus "
    "python reload stats trailer upstream uwsgi virtual web xdg".split()
)
# What the README says of us alone.
OURS = re.compile(r"(?<=^A REST service) that .*?(?=\. Every feature)", re.S | re.M)


@click.command("rename-project")
@click.argument("name")
@click.option("--title", help="For people to read; by default the name, in words.")
@with_appcontext
def rename_project(name, title):
    """Give the project a name of your own.

    Its package, the prefix of its settings, and what deploy/ calls accounts, folders and
    units are named alike: NAME, lower-case and without a blank. With the name that it has,
    the title alone changes. Nothing may wait to be committed. What is not in git stays as
    it is.
    """
    old = __package__
    if not NAME.fullmatch(name):
        raise click.ClickException(f"{name!r} cannot be its name: {LETTERS}.")
    if title is None:
        title = name.replace("_", " ").capitalize()
    elif not TITLES.fullmatch(title):
        raise click.ClickException(
            "A title has up to 40 characters: letters, digits, blanks and .,'&- alone."
        )
    elif name == old and title != TITLE:
        old = None  # the title alone
    files = tracked(ROOT)
    if old:
        forget_leftover(ROOT / name)
        if fault := fault_of(ROOT, files, name, old):
            raise click.ClickException(f"{name} cannot be its name: {fault}.")
    before, after = (old, name) if old else (TITLE, title)
    known = sum(len(found_in(ROOT / file, after)) for file in files)
    rename(ROOT, __package__, name, TITLE, title)
    click.echo(f"{before} is {after} now:{git(ROOT, 'diff', '--shortstat', 'HEAD')}")
    click.echo("See it with: git diff --stat HEAD; take it back: git reset --hard")
    if known:
        click.echo(
            f"{known} lines had {after} before: another rename would take it for ours."
        )
    instance = Path(current_app.instance_path)
    for line in left_to_you(ROOT, instance, old, name) if old else ():
        click.echo(line)
    click.echo("Next: make test, make lint, then git commit.")


def fault_of(root, files, name, old):
    """Why a name cannot be the project's; None where it can."""
    parts = {part.partition(".")[0] for file in files for part in file.split("/")}
    prefix = name.upper() + "_"
    if not NAME.fullmatch(name):
        return LETTERS
    if len(name) > LONGEST:
        return f"it has more than {LONGEST} letters"
    if name == old:
        return "it is called so already"
    if iskeyword(name) or issoftkeyword(name) or hasattr(builtins, name):
        return "it is a word of Python's"
    if name.upper() in {word.upper() for word in RESERVED_WORDS | RESERVED_WORDS_MYSQL}:
        return "it is a word of SQL's"
    if name in parts or (root / name).exists():
        return "a file or a folder of the project is called so"
    if name in OF_A_SERVER:
        return "an account, a folder or a database of a server is called so"
    if name in OF_VARIABLES or any(key.startswith(prefix) for key in os.environ):
        return f"variables of the environment begin with {prefix}"
    if importlib.util.find_spec(name):
        return "a Python module is called so"
    if shutil.which(name):
        return "a program is called so"
    bound = re.compile(
        rf"^(?:def |class |(?:from|import) .*\b){name}\b|^{name}\b.* = ", re.MULTILINE
    )
    for file in files:
        text = (read(root / file) or "") if file.endswith(".py") else ""
        if re.search(rf"^import {old}$", text, re.MULTILINE) and bound.search(text):
            return f"{file} calls something so"
    return None


def rename(root, old, new, old_title, title):
    """Rename the project in the clone at `root`. Raises ClickException; then, nothing has
    changed."""
    words = {old_title: title, old: new, old.upper(): new.upper()}
    if (plan := root / "empty/edits.py").exists():  # emptied, it is called the same
        words[runpy.run_path(str(plan))["TITLE"]] = title
    with all_or_nothing(root):
        for file in tracked(root):
            path, moved = root / file, root / replaced(file, words)
            text = read(path)
            if text is not None:
                changed = replaced(text, words)
                if file == "README.md":
                    changed = OURS.sub("", changed, count=1)
                if changed != text:
                    path.write_bytes(changed.encode())
            if moved != path:
                if moved.exists():
                    raise click.ClickException(f"{moved} is there already.")
                moved.parent.mkdir(parents=True, exist_ok=True)
                path.rename(moved)
                remove_empty(path.parent)
        forget(root / old)
        tidy(root)


def replaced(text, words):
    """The text with each of these words, and of none that merely holds one, replaced."""
    either = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    pattern = rf"(?<![^\W_])(?:{either})(?![^\W_])"  # _ parts words, letters do not
    return re.sub(pattern, lambda found: words[found[0]], text)


def found_in(path, name):
    """The lines of a file that have the word."""
    word = re.compile(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])")
    return [line for line in (read(path) or "").splitlines() if word.search(line)]


def read(path):
    """The text of a file as it stands there, line ends and all; None where it is none."""
    try:
        return None if path.is_symlink() else path.read_bytes().decode()
    except UnicodeDecodeError:
        return None


def left_to_you(root, instance, old, new):
    """What is not in git and still has the old name, a line for each."""
    before, after = old.upper() + "_", new.upper() + "_"
    for path in (root / ".env", instance / "config.py"):
        if path.is_file() and before in (read(path) or ""):
            yield f"Yours to change: {before} to {after} in {path}"
    if any(key.startswith(before) for key in os.environ):
        yield f"Yours to change: {before} to {after} in your environment"
    for path in sorted(instance.glob(f"{old}.sqlite3*")):
        yield f"Yours to move: {path} to {path.name.replace(old, new, 1)}"


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
