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
from keyword import iskeyword, issoftkeyword
from pathlib import Path

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy.dialects.mysql.reserved_words import RESERVED_WORDS_MYSQL
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

import myapp
from myapp.core.openapi.document import TITLE

from . import repository
from .repository import (
    all_or_nothing,
    forget,
    forget_leftover,
    git,
    read,
    remove_empty,
    replaced,
    tidy,
    tracked,
)

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
    old = myapp.__name__
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
    files = tracked(repository.ROOT)
    if old:
        forget_leftover(repository.ROOT / name)
        if fault := fault_of(repository.ROOT, files, name, old):
            raise click.ClickException(f"{name} cannot be its name: {fault}.")
    before, after = (old, name) if old else (TITLE, title)
    known = sum(len(found_in(repository.ROOT / file, after)) for file in files)
    rename(repository.ROOT, myapp.__name__, name, TITLE, title)
    click.echo(
        f"{before} is {after} now:{git(repository.ROOT, 'diff', '--shortstat', 'HEAD')}"
    )
    click.echo("See it with: git diff --stat HEAD; take it back: git reset --hard")
    if known:
        click.echo(
            f"{known} lines had {after} before: another rename would take it for ours."
        )
    instance = Path(current_app.instance_path)
    for line in left_to_you(repository.ROOT, instance, old, name) if old else ():
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


def found_in(path, name):
    """The lines of a file that have the word."""
    word = re.compile(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])")
    return [line for line in (read(path) or "").splitlines() if word.search(line)]


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
